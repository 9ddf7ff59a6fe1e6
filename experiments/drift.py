"""How far 200 steps of DCGAN drift apart by minimal filtering, beside the drift of a start that is moved by 1e-6.

    uv run python experiments/drift.py --batch=16 --steps=200

Three runs on the same images and noise: with XLA's convolutions alone; with minimal filtering; and with XLA's again,
from parameters of which each is multiplied by 1 + 1e-6 times a normal number. A GAN is chaotic: rounding grows. The
filtering is sound where its losses leave those of the first run no earlier and no further than the third run's do.
One row for each stretch of steps: the largest difference of the critic's and of the generator's loss in it.
"""

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

from gen_jax.config import base
from gen_jax.config.load import check, complete
from gen_jax.errors import in_one_line
from gen_jax.networks import convolution
from gen_jax.program import build

NONE = convolution.Maps()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=float, default=1e-6, help="of the change to the start")
    asked = parser.parse_args()
    if jax.default_backend() != "cpu":
        print("error: minimal filtering is for CPUs; set JAX_PLATFORMS=cpu", file=sys.stderr)
        return 2
    filtered = losses(asked)
    rule = convolution._filtering
    convolution._filtering = lambda *_: NONE
    plain, moved = losses(asked), losses(asked, asked.size)
    convolution._filtering = rule
    print(f"{'steps':>9} {'d: filtering':>13} {'d: moved':>9} {'g: filtering':>13} {'g: moved':>9}")
    edges = [0, *(edge for edge in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if edge < asked.steps), asked.steps]
    for first, last in zip(edges, edges[1:], strict=False):
        stretch = slice(first, last)
        by = [np.abs(other[stretch] - plain[stretch]).max(axis=0) for other in (filtered, moved)]
        print(f"{first + 1:>4}-{last:<4} {by[0][0]:13.1e} {by[1][0]:9.1e} {by[0][1]:13.1e} {by[1][1]:9.1e}")
    return 0


def losses(asked, change: float = 0.0) -> np.ndarray:
    """The critic's and the generator's loss of each step [steps, 2]."""
    with tempfile.TemporaryDirectory() as folder:
        program = build(config(asked, Path(folder) / "random.npz"))
        state = program.init()
        if change:
            normal = np.random.default_rng(1).standard_normal
            move = lambda x: jax.device_put(x * np.float32(1 + change * normal(x.shape)), x.sharding)
            state = dataclasses.replace(state, params=jax.tree.map(move, state.params))
        found = []
        for step, feed in zip(range(asked.steps), program.feeds(0), strict=False):
            state, metrics = program.update(state, feed, program.variants(step, 1))
            found.append([float(metrics[name].total[0] / metrics[name].count[0]) for name in ("d", "g")])
    return np.array(found)


def config(asked, file: Path):
    """DCGAN 32x32, as the benchmark has it, on smooth random images."""
    rng = np.random.default_rng(0)
    small = rng.random((1024, 4, 4, 3))
    images = np.stack([np.kron(image.transpose(2, 0, 1), np.ones((8, 8))).transpose(1, 2, 0) for image in small])
    np.savez(file, images=np.uint8(255 * images), labels=np.arange(1024) % 10)
    config = base("gan")
    config.data.name, config.data.path, config.data.batch_size = "npz", str(file), asked.batch
    config.model.latent_size = 128
    config.model.generator = {"name": "dcgan", "norm": "batch"}
    config.model.discriminator = {"name": "dcgan", "norm": "batch"}
    config.optimizer.b1, config.optimizer.b2 = 0.5, 0.999
    config.mesh.devices = 1
    config.train.steps = config.train.log_every = asked.steps
    config.train.sample_every = config.train.checkpoint_every = 0
    check(config)
    complete(config)
    return config


if __name__ == "__main__":
    with in_one_line():
        sys.exit(main())
