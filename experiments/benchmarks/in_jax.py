"""The train steps that `train_step.py` times, in gen_jax: the update that `gen-jax train` calls, with its
data order, its noise per row and its metrics."""

import tempfile
from pathlib import Path

import jax
import numpy as np

from gen_jax.config import base
from gen_jax.config.load import check, complete
from gen_jax.program import build as build_program

EXAMPLES = 1024
FOREVER = 10**9


def build(model: str, batch: int, dtype: str, device: str, steps_per_call: int = 1):
    """(step(), wait(), parameter counts, smallest first) on the default device, which must be `device`."""
    assert jax.default_backend() == device, f"the default device is a {jax.default_backend()}"
    config = {"dcgan": dcgan, "vae": vae}[model]()
    config.data.batch_size = batch
    config.model.dtype = dtype
    config.mesh.devices = 1
    config.train.steps, config.train.steps_per_call = FOREVER, steps_per_call
    config.train.log_every = FOREVER
    config.train.update({f"{name}_every": 0 for name in ("sample", "checkpoint")})
    check(config)
    complete(config)
    with tempfile.TemporaryDirectory() as folder:
        config.data.name, config.data.path = "npz", str(Path(folder) / "random.npz")
        shape = (28, 28, 1) if model == "vae" else (32, 32, 3)
        np.savez(config.data.path, images=np.random.default_rng(0).integers(0, 256, (EXAMPLES, *shape), np.uint8))
        program = build_program(config)
    feeds = program.feeds(0)
    held = {"state": program.init(), "step": 0}
    counts = sorted(sum(leaf.size for leaf in jax.tree.leaves(p)) for p in held["state"].params.values())

    def step():
        variants = program.variants(held["step"], steps_per_call)
        held["state"], held["metrics"] = program.update(held["state"], next(feeds), variants)
        held["step"] += steps_per_call

    return step, lambda: jax.block_until_ready(held["state"]), counts


def dcgan():
    """DCGAN: a critic step and a generator step, each on noise of its own."""
    config = base("gan")
    config.model.latent_size = 128
    config.model.generator = {"name": "dcgan", "norm": "batch"}
    config.model.discriminator = {"name": "dcgan", "norm": "batch"}
    config.optimizer.b1, config.optimizer.b2 = 0.5, 0.999
    return config


def vae():
    """Recipe A of the IWAE paper with one latent sample and the analytic KL."""
    config = base("vae")
    config.data.binarize = "threshold"
    config.model.latent_size = 50
    config.model.encoder = {"name": "mlp", "widths": (200, 200)}
    config.model.decoder = {"name": "mlp", "widths": (200, 200)}
    config.optimizer.b1, config.optimizer.eps = 0.99, 1e-4
    return config
