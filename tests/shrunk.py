"""The shipped configs, small enough for a test: same networks, objectives and image shapes."""

import fcntl

import numpy as np
import pytest

from gen_jax.config import load
from gen_jax.data import FIELDS
from gen_jax.evaluation.during_training import observers
from gen_jax.train import train

SMALL_CODERS = {f"model.{n}.{k}": v for n in ("encoder", "decoder") for k, v in (("width", 4), ("hidden", 16))}
SMALL_MLP = {"model.encoder.widths": "32", "model.decoder.widths": "32", "model.latent_size": 4}
SMALL_TOKENIZER = {f"model.{n}.{k}": v for n in ("encoder", "decoder") for k, v in (("width", 8), ("blocks", 1))}
SMALL_TOKENIZER |= {"model.codes": 16, "model.levels": "4,4"}
SMALL_GAN = {"model.generator.width": 8, "model.discriminator.width": 8, "model.latent_size": 8}
SMALL_MATCHER = {
    "model.encoder.width": 4,
    "model.encoder.hidden": 16,
    "model.reader.width": 16,
    "model.reader.layers": 1,
    "model.vector_size": 8,
}

SMALL_TRANSFORMER = {"model.transformer.layers": 1, "model.transformer.width": 16, "model.transformer.heads": 2}
SMALL_TRANSFORMER |= {"optimizer.weight_decay": 0.0}  # which other rules than adamw do not have

SCENES = {"data.name": "shapes", "data.path": "", "data.scenes": 80}  # where images need captions

# Config -> the shape of its images, and what makes it small.
CONFIGS = {
    "vae_digits": ((16, 16, 1), SMALL_MLP),
    "gan_digits": ((16, 16, 1), SMALL_GAN),
    "gan_digits_unconditional": ((16, 16, 1), SMALL_GAN),
    "vae_mnist": ((28, 28, 1), {**SMALL_MLP, "train.steps_per_call": 1}),
    "gan_mnist": ((28, 28, 1), SMALL_GAN),
    "vae_fashion_mnist": ((28, 28, 1), {"model.latent_size": 4, **SMALL_CODERS}),
    "sngan_cifar10": ((32, 32, 3), {**SMALL_GAN, "train.critic_steps": 1}),
    "classifier": ((16, 16, 1), {"model.classifier.width": 4, "model.classifier.features": 8}),
    "reuse_digits": ((16, 16, 1), {}),
    "matcher_shapes": ((32, 32, 3), SMALL_MATCHER | SCENES),
    "matcher_emoji": ((32, 32, 3), SMALL_MATCHER | SCENES | {"data.split_by": FIELDS["split_by"].default}),
    "random_digits": ((16, 16, 1), {}),
    "rules_digits": ((16, 16, 1), {"model.objects": 1}),
    "rules_shapes": ((32, 32, 3), SCENES | {"model.objects": 1}),
    "rules_solids": ((16, 16, 3), SCENES | {"data.image_size": 16, "model.objects": 1}),
    "forest_digits": ((16, 16, 1), {"model.trees": 2, "model.leaves": 8, "model.rows": 2000}),
    "forest_mnist": (
        (28, 28, 1),
        {"model.trees": 2, "model.leaves": 8, "model.rows": 2000, "data.binarize": "threshold"},
    ),
    "gpt_digits": ((8, 8, 1), {**SMALL_TRANSFORMER, "model.exact": False}),
    "gpt_mnist": ((14, 14, 1), SMALL_TRANSFORMER),
    "masked_digits": ((8, 8, 1), {**SMALL_TRANSFORMER, "model.exact": False, "sample.steps": 2}),
    "gpt_shapes": ((32, 32, 3), SMALL_TRANSFORMER | SCENES),
    "gpt_emoji": ((32, 32, 3), SMALL_TRANSFORMER | SCENES | {"data.split_by": FIELDS["split_by"].default}),
    "gpt_speech": ((28, 28, 1), {**SMALL_TRANSFORMER, "data.audio": "", "model.condition": "label"}),
    "autoencoder_digits": ((16, 16, 1), {**SMALL_MLP, "model.components": 2}),
    "autoencoder_fashion_mnist": ((28, 28, 1), {"model.latent_size": 4, "model.components": 2, **SMALL_CODERS}),
    "vqvae_mnist": ((28, 28, 1), SMALL_TOKENIZER),
    "fsq_emoji": ((32, 32, 3), SMALL_TOKENIZER),
    "fsq_shapes": ((32, 32, 3), {**SMALL_TOKENIZER, **SCENES}),
    "dvae_emoji": ((32, 32, 3), SMALL_TOKENIZER),
    "vqgan_emoji": ((32, 32, 3), {**SMALL_TOKENIZER, "model.critic.width": 8}),
}

# Configs that are made over another run, and the config of that run.
SOURCES = {
    "reuse_digits": "vae_digits",
    "gpt_shapes": "fsq_shapes",
    "gpt_emoji": "fsq_emoji",
    "gpt_speech": "vqvae_mnist",
}

# What compiles longest, and the larger twins of what the others show: their rows of the tables are slow tests.
HEAVY = {
    "gan_digits_unconditional",
    "gan_mnist",
    "gpt_mnist",
    "gpt_emoji",
    "gpt_speech",
    "matcher_shapes",
    "sngan_cifar10",
    "vae_mnist",
    "forest_mnist",
    "matcher_emoji",
    "vae_fashion_mnist",
    "autoencoder_fashion_mnist",
    "fsq_emoji",
    "fsq_shapes",
    "dvae_emoji",
    "vqgan_emoji",
}


def each(names=CONFIGS):
    """The names as the parameters of a test."""
    return [pytest.param(name, marks=pytest.mark.slow if name in HEAVY else ()) for name in names]


def shrunk(name, folder, **overrides):
    """The config `name` on 80 random images of its shape, with narrow networks and a batch of 64.

    Overrides are written with __ for the dots: train__steps=4.
    """
    shape, small = CONFIGS[name]
    file = folder / f"{'x'.join(map(str, shape))}.npz"
    if not file.exists():
        rng = np.random.default_rng(0)
        np.savez(file, images=rng.integers(0, 256, (80, *shape), np.uint8), labels=np.arange(80) // 8)
    small = {"data.name": "npz", "data.path": file, "data.batch_size": 64, "mesh.devices": 1, **small}
    config = load(name)
    if "train" in config:
        small |= {"train.steps": 6, "train.log_every": 1, "train.sample_every": 0, "train.checkpoint_every": 0}
    if name in SOURCES:
        source = folder / "sources" / SOURCES[name]
        if not (source / "DONE").exists():
            train(shrunk(SOURCES[name], folder, train__steps=1), source)
        small["source.run"] = source
    small |= {k.replace("__", "."): v for k, v in overrides.items()}
    return load(name, [(k, str(v)) for k, v in small.items()])


def trained(config, workdir, **options):
    """Trains as `gen-jax train` does: with grids, and scores where the config asks for them."""
    return train(config, workdir, observers=observers(config), **options)


def run_of(name, shared):
    """A run of the config, shrunk to three updates, each with a checkpoint; trained once for all workers."""
    workdir = shared / "runs" / name
    workdir.parent.mkdir(exist_ok=True)
    with open(shared / "runs/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (workdir / "DONE").exists():
            trained(three(name, shared), workdir)
    return workdir


def three(name, shared):
    """The config of `run_of`."""
    short = {"train__steps": 3, "train__checkpoint_every": 1} if "train" in load(name) else {}
    return shrunk(name, shared, **short)
