"""Draws from any trained Method: samples by seed, interpolations, reconstructions.

Every image has a key of its own, made from its seed. Images are computed in blocks of one size, the
last one padded, so that an image is the same bit for bit whatever was asked for beside it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax import randomness
from gen_jax.errors import InputError
from gen_jax.method import Method, Variables
from gen_jax.provenance.pictures import to_uint8
from gen_jax.runtime import mesh as meshes

BLOCK = 64


class Sampler(NamedTuple):
    """Compiled drawing for one Method; each function takes the Variables to draw with."""

    # (variables, seeds [N], label=None, temperature=1.0) -> uint8 [N, H, W, C].
    sample: Callable[..., np.ndarray]
    # (variables, seeds [N], frames, label=None) -> uint8 [N * frames, H, W, C]; label None: class 0.
    interpolate: Callable[..., np.ndarray]
    # (variables, images uint8 [N, H, W, C], condition=None) -> uint8 [N, H, W, C].
    reconstruct: Callable[..., np.ndarray]


def sampler(method: Method, classes: int = 0, mesh: Mesh | None = None) -> Sampler:
    """The Sampler of a Method conditioned on `classes`, its batches split over `mesh` where one is given."""
    mesh = mesh or meshes.make(1)
    block = -(-BLOCK // mesh.size) * mesh.size
    # Results come whole to every process, so that the first one can write them down.
    jit = partial(jax.jit, out_shardings=meshes.replicated(mesh))

    def blocks(compute, *arrays):
        """`compute` over leading blocks of one size, the last padded with its own last row."""
        count = jax.tree.leaves(arrays)[0].shape[0]
        out = []
        for start in range(0, count, block):
            rows = np.minimum(np.arange(start, start + block), count - 1)
            part = meshes.put(meshes.batched(mesh), jax.tree.map(lambda x, rows=rows: np.asarray(x)[rows], arrays))
            out.append(to_uint8(compute(*part)))
        return np.concatenate(out)[:count]

    def condition_of(label, count):
        if label is None:
            return None
        if not 0 <= label < classes:
            known = f"its classes are 0 to {classes - 1}" if classes else "the model is not conditional"
            raise InputError(f"label {label}: {known}")
        return {"label": np.full(count, label, np.int32)}

    draw = jit(
        lambda variables, seeds, condition, temperature: method.sample(
            variables, randomness.image_keys(seeds), condition, temperature
        )
    )
    decode = jit(method.decode) if method.decode else None
    encode_decode = jit(lambda v, images, c: method.reconstruct(v, images / 255.0, c))
    latents = jit(lambda variables, seeds: method.latents(variables, randomness.image_keys(seeds)))

    def sample(variables: Variables, seeds: Sequence[int], label=None, temperature: float = 1.0):
        seeds = _checked(seeds)
        condition = condition_of(label, len(seeds))
        return blocks(lambda s, c: draw(variables, s, c, jnp.float32(temperature)), seeds, condition)

    def interpolate(variables: Variables, seeds: Sequence[int], frames: int, label=None):
        if method.decode is None or method.latents is None:
            raise InputError("this model has no latent space to interpolate in")
        ends = np.asarray(latents(variables, jnp.asarray(_checked(seeds))))
        # From each seed to the next and back to the first, so that the animation loops.
        weights = np.arange(frames, dtype=np.float32) / frames
        paths = [[spherical(ends[i], ends[(i + 1) % len(ends)], w) for w in weights] for i in range(len(ends))]
        path = np.asarray(paths, np.float32).reshape(-1, ends.shape[-1])
        condition = condition_of(0 if classes and label is None else label, len(path))
        return blocks(lambda z, c: decode(variables, z, c), path, condition)

    def reconstruct(variables: Variables, images: np.ndarray, condition=None):
        if method.reconstruct is None:
            raise InputError("this model cannot reconstruct: it has no encoder")
        return blocks(lambda x, c: encode_decode(variables, x, c), images, condition)

    return Sampler(sample, interpolate, reconstruct)


def spherical(start: np.ndarray, end: np.ndarray, weight: float) -> np.ndarray:
    """Spherical interpolation (Shoemake 1985) of direction, linear of length: [Z], weight in [0, 1].

    Latents of high dimension lie near a sphere; the straight line between two of them passes through
    a centre that the model never saw.
    """
    a, b = np.linalg.norm(start), np.linalg.norm(end)
    angle = np.arccos(np.clip(np.dot(start / a, end / b), -1.0, 1.0))
    if np.sin(angle) < 1e-6:
        return (1 - weight) * start + weight * end
    direction = (np.sin((1 - weight) * angle) * start / a + np.sin(weight * angle) * end / b) / np.sin(angle)
    return ((1 - weight) * a + weight * b) * direction


def _checked(seeds) -> np.ndarray:
    seeds = np.asarray(seeds)
    if seeds.size == 0 or seeds.min() < 0 or seeds.max() >= 2**32:
        raise InputError("seeds must be between 0 and 4294967295, and at least one")
    return seeds.astype(np.uint32)
