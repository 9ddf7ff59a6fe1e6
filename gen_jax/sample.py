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
from gen_jax.method import Method, Variables, Vocabulary
from gen_jax.runtime import mesh as meshes

BLOCK = 64
HOTTEST = 1000  # of a temperature; 1 is what the model was trained for

# What images are asked for by: name -> one value an image [N, ...], or one for all of them.
Condition = Mapping[str, Any] | None


class Sampler(NamedTuple):
    """Compiled drawing for one Method; each function takes the Variables to draw with.

    A label that is not given is drawn by seed; any other condition must be given. Images are uint8 [N, H, W, C].
    """

    # (variables, seeds [N], condition=None, temperature=1.0, draw=0, **options) -> images: the draw-th of each seed;
    # `options` are those of the method.
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
    # (variables, images, condition) -> float32 [N], how well each image shows what it is asked for by.
    match: Callable[..., np.ndarray]


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
            out.append(compute(*part))
            if len(out) > 1:  # fetched while the next is computed
                out[-2] = jax.device_get(out[-2])
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *jax.device_get(out))

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

    def drawn(variables, seeds, condition, temperature, draw, options):
        keys = randomness.image_keys(seeds)
        again = jax.vmap(lambda key: jax.random.fold_in(key, draw))(keys)
        keys = jax.random.wrap_key_data(
            jnp.where(draw > 0, jax.random.key_data(again), jax.random.key_data(keys)), impl=jax.random.key_impl(keys)
        )
        return pixels(method.sample(variables, keys, floats(condition), temperature, **dict(options)))

    sampled = method.sample and jit(drawn, static_argnames="options")
    drawn_latents = method.latents and jit(lambda v, seeds: method.latents(v, randomness.image_keys(seeds)))
    encoded = method.encode and jit(lambda v, images, c: method.encode(v, floats(images), floats(c)))
    decoded = method.decode and jit(lambda v, latents, c: pixels(method.decode(v, latents, floats(c))))
    reconstructed = method.reconstruct and jit(
        lambda v, images, c: pixels(method.reconstruct(v, floats(images), floats(c)))
    )
    completed = method.complete and jit(
        lambda v, images, mask, seeds, c: pixels(
            method.complete(v, floats(images), mask, randomness.image_keys(seeds), floats(c))
        )
    )

    matched = method.match and jit(lambda v, images, c: method.match(v, floats(images), floats(c)))

    def sample(
        variables: Variables,
        seeds: Sequence[int],
        condition: Condition = None,
        temperature: float = 1.0,
        draw: int = 0,
        **options,
    ):
        capable(sampled, "draws no samples")
        seeds = _checked(seeds)
        if not 0 <= temperature <= HOTTEST:  # no number is not either
            raise InputError(f"temperature={temperature}: must be between 0 and {HOTTEST}")
        _check_options(method.options, options)
        condition = asked(condition, seeds)
        how = jnp.float32(temperature), jnp.uint32(draw), tuple(sorted(options.items()))
        return blocks(lambda s, c: sampled(variables, s, c, *how), seeds, condition)

    def latents(variables: Variables, seeds: Sequence[int]):
        capable(drawn_latents, "has no prior over latents to draw from")
        return blocks(lambda s: drawn_latents(variables, s), _checked(seeds))

    def encode(variables: Variables, images: np.ndarray, condition: Condition = None):
        capable(encoded, "cannot encode: it has no encoder")
        condition = asked(condition, np.arange(len(images)))
        return blocks(lambda x, c: encoded(variables, x, c), images, condition)

    def decode(variables: Variables, latents: Any, condition: Condition = None):
        capable(decoded, "cannot decode: it has no latent space")
        if method.vocabulary is not None:
            _check_codes(latents, method.vocabulary)
        condition = asked(condition, np.arange(len(jax.tree.leaves(latents)[0])))
        return blocks(lambda z, c: decoded(variables, z, c), latents, condition)

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
        return blocks(lambda x, c: reconstructed(variables, x, c), images, condition)

    def complete(
        variables: Variables, images: np.ndarray, mask: np.ndarray, seeds: Sequence[int], condition: Condition = None
    ):
        capable(completed, "cannot complete images")
        mask = _mask(mask, images.shape, method.raster)
        seeds = _checked(seeds)
        condition = asked(condition, seeds)
        return blocks(lambda *x: completed(variables, *x), images, mask, seeds, condition)

    def match(variables: Variables, images: np.ndarray, condition: Condition):
        capable(matched, "does not score images beside what they are asked for by; train one: --config=matcher_shapes")
        condition = asked(condition, np.arange(len(images)))
        return blocks(lambda x, c: matched(variables, x, c), images, condition)

    return Sampler(sample, latents, encode, decode, interpolate, reconstruct, complete, match)


def _check_codes(codes: np.ndarray, vocabulary: Vocabulary) -> None:
    """Refuses what are no codes of this vocabulary: looked up, they would be other codes without a word."""
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu" or codes.shape[1:] != tuple(vocabulary.grid):
        wanted = "x".join(map(str, vocabulary.grid))
        raise InputError(f"codes: expected integers [N, {wanted}], got {codes.dtype} {list(codes.shape)}")
    if codes.size and not 0 <= codes.min() <= codes.max() < vocabulary.size:
        raise InputError(
            f"codes: {codes.min()} to {codes.max()}, and this model has 0 to {vocabulary.size - 1};"
            " were they made by another tokenizer?"
        )


def pixels(images: jax.Array) -> jax.Array:
    """uint8 of images in [0, 1]: the nearest of 256 levels."""
    return jnp.round(jnp.clip(images, 0.0, 1.0) * 255.0).astype(jnp.uint8)


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


def _check_options(known: Mapping, given: Mapping) -> None:
    """Refuses an option that the method does not have, and a number that none can be."""
    for name, value in given.items():
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no such options"
            raise InputError(f"{name}={value}: this model {takes}")
        if not 0 <= value <= HOTTEST or isinstance(known[name], int) and value != int(value):
            raise InputError(f"{name}={value}: must be between 0 and {HOTTEST}, and whole where {known[name]} is")


def _mask(mask: np.ndarray, shape: Sequence[int], raster: tuple[int, int] | None) -> np.ndarray:
    """float32 [N, H, W, 1] of 0 and 1.

    Raises:
      InputError: of another size; of other values; or not what a model that draws in raster order can complete.
    """
    mask = np.asarray(mask, np.float32)
    want = (*shape[:-1], 1)
    if mask.shape not in (want, want[1:]):
        raise InputError(f"the mask has shape {mask.shape}: expected {want} or {want[1:]}")
    if not np.isin(mask, (0, 1)).all():
        raise InputError("the mask has other values than 0 and 1")
    mask = np.broadcast_to(mask, want)
    if raster:
        rows, columns = raster
        patches = mask.reshape(len(mask), rows, shape[1] // rows, columns, shape[2] // columns)
        whole, some = (patches.min((2, 4)).reshape(len(mask), -1), patches.max((2, 4)).reshape(len(mask), -1))
        # A half may end inside a row of patches: these are drawn, and what is kept of them stays.
        after = np.arange(rows * columns) >= whole.sum(1, keepdims=True) + columns
        if (np.diff(whole) > 0).any() or (some[after] > 0).any():
            size = f"{shape[1] // rows}x{shape[2] // columns}"
            raise InputError(
                f"this model draws {rows}x{columns} patches of {size} pixels from the top left, row by row; a mask may"
                " keep those that come first, such as the top half, and no others"
            )
    return mask


def _checked(seeds) -> np.ndarray:
    seeds = np.asarray(seeds)
    if seeds.size == 0 or seeds.min() < 0 or seeds.max() >= 2**32:
        raise InputError("seeds must be between 0 and 4294967295, and at least one")
    return seeds.astype(np.uint32)
