"""The shipped configs, small enough for a test: same networks, objectives and image shapes."""

import numpy as np

from gen_jax.config import load
from gen_jax.evaluation.during_training import observers
from gen_jax.train import train

SHAPES = {
    "vae_digits": (16, 16, 1),
    "gan_digits": (16, 16, 1),
    "vae_mnist": (28, 28, 1),
    "gan_mnist": (28, 28, 1),
    "vae_fashion_mnist": (28, 28, 1),
    "sngan_cifar10": (32, 32, 3),
    "classifier": (16, 16, 1),
}


def shrunk(name, folder, **overrides):
    """The config `name` on 80 random images of its shape, with narrow networks and a batch of 64.

    Overrides are written with __ for the dots: train__steps=4.
    """
    shape = SHAPES[name]
    file = folder / f"{'x'.join(map(str, shape))}.npz"
    if not file.exists():
        rng = np.random.default_rng(0)
        np.savez(file, images=rng.integers(0, 256, (80, *shape), np.uint8), labels=np.arange(80) // 8)
    small = {
        "data__name": "npz",
        "data__path": file,
        "data__batch_size": 64,
        "mesh__devices": 1,
    }
    if "train" in load(name):
        small |= {f"train__{n}": v for n, v in (("steps", 6), ("log_every", 1), ("sample_every", 0))}
        small["train__checkpoint_every"] = 0
    if name.startswith("vae"):
        small["model__latent_size"] = 4
    if name in ("vae_digits", "vae_mnist"):
        small |= {"model__encoder__widths": "32", "model__decoder__widths": "32"}
    if name == "vae_fashion_mnist":
        small |= {f"model__{n}__{k}": v for n in ("encoder", "decoder") for k, v in (("width", 4), ("hidden", 16))}
    if "gan" in name:
        small |= {"model__generator__width": 8, "model__discriminator__width": 8, "model__latent_size": 8}
    if name == "classifier":
        small |= {"model__classifier__width": 4, "model__classifier__features": 8}
    if name == "sngan_cifar10":
        small["train__critic_steps"] = 2
    small |= overrides
    return load(name, [(k.replace("__", "."), str(v)) for k, v in small.items()])


def trained(config, workdir, **options):
    """Trains as `gen-jax train` does: with grids, and scores where the config asks for them."""
    return train(config, workdir, observers=observers(config), **options)
