"""Draws from any trained Method: samples by seed, interpolations, reconstructions, completions.

Every image has a key of its own, made from its seed. Images are computed in blocks of one size, the
last one padded, so that an image is the same bit for bit whatever was asked for beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax import randomness
from gen_jax.data import condition as conditions
from gen_jax.data.dataset import Dataset, floats
from gen_jax.errors import InputError
from gen_jax.method import Method, Variables
from gen_jax.provenance.pictures import to_uint8
from gen_jax.runtime import mesh as meshes

BLOCK = 64
HOTTEST = 1000  # of a temperature; 1 is what the model was trained for

# What images are asked for by: name -> one value an image [N, ...], or one for all of them.
Condition = Mapping[str, Any] | None


class Sampler(NamedTuple):
    """Compiled drawing for one Method; each function takes the Variables to draw with.

    A label that is not given is drawn by seed; any other condition must be given. Images are uint8 [N, H, W, C].
    """

    # (variables, seeds [N], condition=None, temperature=1.0) -> images.
    sample: Callable[..., np.ndarray]
    # (variables, seeds [N]) -> latents, NumPy arrays with leading axis N.
    latents: Callable[..., Any]
    # (variables, images, condition=None) -> latents.
    encode: Callable[..., Any]
    # (variables, latents, condition=None) -> images.
    decode: Callable[..., np.ndarray]
    # (variables, seeds [N], frames, condition=None) -> images [N * frames], all of one condition: by the first seed.
    interpolate: Callable[..., np.ndarray]
    # (variables, images, condition=None) -> images.
    reconstruct: Callable[..., np.ndarray]
    # (variables, images, mask [N, H, W, 1] or [H, W, 1], seeds [N], condition=None) -> images, kept where mask is 1.
    complete: Callable[..., np.ndarray]


def sampler(method: Method, mesh: Mesh | None = None) -> Sampler:
    """The Sampler of a Method, its batches split over `mesh` where one is given."""
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
            out.append(jax.device_get(compute(*part)))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *out)

    def asked(condition: Condition, seeds: np.ndarray) -> dict[str, np.ndarray]:
        """One value an image for every condition of the method."""
        given = dict(condition or {})
        for name in given:
            if name not in method.conditions:
                knows = f"knows {', '.join(method.conditions)}" if method.conditions else "is not conditional"
                raise InputError(f"condition {name}: the model {knows}")
        missing = {name: about for name, about in method.conditions.items() if name not in given}
        drawn = jax.device_get(conditions.by_seed(missing, randomness.image_keys(seeds)))
        return {
            name: conditions.repeated(name, about, given[name], len(seeds)) if name in given else drawn[name]
            for name, about in method.conditions.items()
        }

    def capable(function, what):
        if function is None:
            raise InputError(f"this model {what}")

    draw = method.sample and jit(
        lambda variables, seeds, condition, temperature: method.sample(
            variables, randomness.image_keys(seeds), floats(condition), temperature
        )
    )
    drawn_latents = method.latents and jit(lambda v, seeds: method.latents(v, randomness.image_keys(seeds)))
    encoded = method.encode and jit(lambda v, images, c: method.encode(v, floats(images), floats(c)))
    decoded = method.decode and jit(lambda v, latents, c: method.decode(v, latents, floats(c)))
    reconstructed = method.reconstruct and jit(lambda v, images, c: method.reconstruct(v, floats(images), floats(c)))
    completed = method.complete and jit(
        lambda v, images, mask, seeds, c: method.complete(
            v, floats(images), mask, randomness.image_keys(seeds), floats(c)
        )
    )

    def sample(variables: Variables, seeds: Sequence[int], condition: Condition = None, temperature: float = 1.0):
        capable(draw, "draws no samples")
        seeds = _checked(seeds)
        if not 0 <= temperature <= HOTTEST:  # no number is not either
            raise InputError(f"temperature={temperature}: must be between 0 and {HOTTEST}")
        condition = asked(condition, seeds)
        return to_uint8(blocks(lambda s, c: draw(variables, s, c, jnp.float32(temperature)), seeds, condition))

    def latents(variables: Variables, seeds: Sequence[int]):
        capable(drawn_latents, "has no prior over latents to draw from")
        return blocks(lambda s: drawn_latents(variables, s), _checked(seeds))

    def encode(variables: Variables, images: np.ndarray, condition: Condition = None):
        capable(encoded, "cannot encode: it has no encoder")
        condition = asked(condition, np.arange(len(images)))
        return blocks(lambda x, c: encoded(variables, x, c), images, condition)

    def decode(variables: Variables, latents: Any, condition: Condition = None):
        capable(decoded, "cannot decode: it has no latent space")
        condition = asked(condition, np.arange(len(jax.tree.leaves(latents)[0])))
        return to_uint8(blocks(lambda z, c: decoded(variables, z, c), latents, condition))

    def interpolate(variables: Variables, seeds: Sequence[int], frames: int, condition: Condition = None):
        if method.decode is None or method.latents is None or method.vocabulary is not None:
            raise InputError("this model has no latent space to interpolate in")
        seeds = _checked(seeds)
        first = jax.tree.map(lambda x: x[0], asked(condition, seeds[:1]))
        ends = latents(variables, seeds)
        # From each seed to the next and back to the first, so that the animation loops.
        weights = np.arange(frames, dtype=np.float32) / frames
        pairs = [(i, (i + 1) % len(seeds), w) for i in range(len(seeds)) for w in weights]
        path = jax.tree.map(lambda x: np.stack([spherical(x[i], x[j], w) for i, j, w in pairs]), ends)
        return decode(variables, path, first)

    def reconstruct(variables: Variables, images: np.ndarray, condition: Condition = None):
        capable(reconstructed, "cannot reconstruct: it has no encoder")
        condition = asked(condition, np.arange(len(images)))
        return to_uint8(blocks(lambda x, c: reconstructed(variables, x, c), images, condition))

    def complete(
        variables: Variables, images: np.ndarray, mask: np.ndarray, seeds: Sequence[int], condition: Condition = None
    ):
        capable(completed, "cannot complete images")
        mask = np.broadcast_to(np.asarray(mask, np.float32), (*images.shape[:-1], 1))
        seeds = _checked(seeds)
        condition = asked(condition, seeds)
        return to_uint8(blocks(lambda *x: completed(variables, *x), images, mask, seeds, condition))

    return Sampler(sample, latents, encode, decode, interpolate, reconstruct, complete)


def of_examples(method: Method, dataset: Dataset, seeds: Sequence[int]) -> dict[str, np.ndarray] | None:
    """The conditions to draw `seeds` under where nobody gives any: those of a set's examples, in order.

    None for a method that is asked by a label or by nothing: a seed decides that.
    """
    if all(about.kind == "label" for about in method.conditions.values()):
        return None
    index = np.asarray(seeds, np.int64) % dataset.spec.size
    return conditions.chosen(method.conditions, dataset.gather(index))


def spherical(start: np.ndarray, end: np.ndarray, weight: float) -> np.ndarray:
    """Spherical interpolation (Shoemake 1985) of direction, linear of length; any shape, weight in [0, 1].

    Latents of high dimension lie near a sphere; the straight line between two of them passes through
    a centre that the model never saw.
    """
    a, b = np.linalg.norm(start), np.linalg.norm(end)
    angle = np.arccos(np.clip(np.vdot(start / a, end / b), -1.0, 1.0))
    if np.sin(angle) < 1e-6:
        return (1 - weight) * start + weight * end
    direction = (np.sin((1 - weight) * angle) * start / a + np.sin(weight * angle) * end / b) / np.sin(angle)
    return (((1 - weight) * a + weight * b) * direction).astype(start.dtype)


def _checked(seeds) -> np.ndarray:
    seeds = np.asarray(seeds)
    if seeds.size == 0 or seeds.min() < 0 or seeds.max() >= 2**32:
        raise InputError("seeds must be between 0 and 4294967295, and at least one")
    return seeds.astype(np.uint32)
