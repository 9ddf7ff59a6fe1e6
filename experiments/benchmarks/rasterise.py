"""Triangles a second: `gen_jax.render.triangles` beside a loop in NumPy.

    uv run python experiments/benchmarks/rasterise.py [--rounds=5]

draws 256 scenes of 32x32 pixels with 100 random triangles each, with z-buffer and one colour a triangle. NumPy loops
over scenes and triangles and tests all pixels at once. Both take turns; times are medians of rounds, and the pictures
must be the same but for pixels on whose centre an edge lies.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.render import triangles

SCENES, FACES, SIDE = 256, 100, 32


def scenes() -> tuple[np.ndarray, np.ndarray]:
    """Corners float32 [SCENES, 3 * FACES, 3] and colours [SCENES, FACES, 3]."""
    rng = np.random.default_rng(0)
    middle = rng.uniform(0, SIDE, (SCENES, FACES, 1, 2))
    corners = np.concatenate([middle + rng.normal(0, 4, (SCENES, FACES, 3, 2)), rng.random((SCENES, FACES, 3, 1))], -1)
    return corners.reshape(SCENES, -1, 3).astype(np.float32), rng.random((SCENES, FACES, 3)).astype(np.float32)


@jax.jit
def in_jax(corners, colours):
    """Pictures [SCENES, SIDE, SIDE, 3]."""

    def one(corners, colours):
        face = triangles.visible(corners, jnp.arange(3 * FACES).reshape(FACES, 3), SIDE, SIDE).face
        return jnp.where(face[..., None] < 0, 0.0, colours[face])

    return jax.vmap(one)(corners, colours)


def in_numpy(corners, colours):
    """The same."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) + 0.5
    pictures = np.zeros((SCENES, SIDE, SIDE, 3), np.float32)
    for picture, some, paint in zip(pictures, corners.reshape(SCENES, FACES, 3, 3), colours, strict=True):
        nearest = np.full((SIDE, SIDE), np.inf, np.float32)
        for (a, b, c), colour in zip(some, paint, strict=True):
            area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
            weights = [
                ((q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])) / area for p, q in ((b, c), (c, a), (a, b))
            ]
            depth = sum(w * z for w, z in zip(weights, (a[2], b[2], c[2]), strict=True))
            seen = np.logical_and.reduce([w > 0 for w in weights]) & (depth < nearest)
            nearest[seen], picture[seen] = depth[seen], colour
    return pictures


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    corners, colours = scenes()
    ways = {"gen_jax": lambda: np.asarray(in_jax(corners, colours)), "NumPy": lambda: in_numpy(corners, colours)}
    drawn = {name: draw() for name, draw in ways.items()}
    different = (drawn["gen_jax"] != drawn["NumPy"]).any(-1).mean()
    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, draw in ways.items():
            start = time.perf_counter()
            draw()
            times[name].append(time.perf_counter() - start)
    found = {name: statistics.median(taken) for name, taken in times.items()}
    for name, taken in found.items():
        print(f"{name}: {1000 * taken:.1f} ms, {SCENES / taken:,.0f} pictures a second")
    print(f"{found['NumPy'] / found['gen_jax']:.1f} times as fast; {different:.6f} of the pixels differ")


if __name__ == "__main__":
    main()
