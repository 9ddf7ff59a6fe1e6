"""What the rows of gen_jax share: the update that `gen-jax train` calls, with its data order, noise and metrics."""

import tempfile
from pathlib import Path

import jax
import numpy as np
from workers import Setting, Work

from gen_jax.config.load import check, complete
from gen_jax.program import build

EXAMPLES = 1024
FOREVER = 10**9


def training(setting: Setting, config, shape=None, calls: int = 1) -> Work:
    """`calls` calls of a config's update, on random images of `shape` with labels, or on the config's own data."""
    program = built(setting, config, shape)
    per_call = program.length.steps_per_call
    feeds = program.feeds(0)
    held = {"state": program.init(), "step": 0}
    counts = parameters(held["state"].params)

    def run():
        for _ in range(calls):
            variants = program.variants(held["step"], per_call)
            held["state"], held["metrics"] = program.update(held["state"], next(feeds), variants)
            held["step"] += per_call

    return Work(run, lambda: jax.block_until_ready(held["state"]), calls * per_call, counts)


def built(setting: Setting, config, shape=None):
    """The Program of a config, on one device of the kind that is asked for."""
    assert jax.default_backend() == setting.device, f"the default device is a {jax.default_backend()}"
    config = config.unlock()
    config.model.dtype = setting.dtype
    config.mesh.devices = 1
    config.train.steps = config.train.log_every = FOREVER
    config.train.update({f"{name}_every": 0 for name in ("sample", "checkpoint")})
    with tempfile.TemporaryDirectory() as folder:
        if shape:
            config.data.name, config.data.path = "npz", str(Path(folder) / "random.npz")
            rng = np.random.default_rng(0)
            images = rng.integers(0, 256, (EXAMPLES, *shape), np.uint8)
            np.savez(config.data.path, images=images, labels=np.arange(EXAMPLES) % 10)
        check(config)
        complete(config)
        return build(config)


def parameters(params) -> tuple[int, ...]:
    return tuple(sorted(sum(leaf.size for leaf in jax.tree.leaves(network)) for network in params.values()))
