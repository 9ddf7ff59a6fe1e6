"""Random choices about a batch of images, made on the device inside the step.

Noise is keyed by row and not drawn by one call for the whole batch: with the batch sharded it is
then sharded by itself, and row r gets the same noise on one device and on eight.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key, UInt8

BINARIZE = ("none", "dynamic", "static", "threshold")
HELD_OUT = 2**32 - 1  # no index of a training image


def keys_of(key: Key[Array, ""], numbers: Int[Array, " B"]) -> Key[Array, " B"]:
    """One key for each number (a row, or an image's index)."""
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


def bernoulli(image: UInt8[Array, " B H W C"], keys: Key[Array, " B"]) -> UInt8[Array, " B H W C"]:
    """Each pixel is 255 with probability value / 255, else 0. The values 0 and 255 never change."""
    uniform = jax.vmap(lambda key: jax.random.uniform(key, image.shape[1:]))(keys)  # in [0, 1)
    return _black_or_white(uniform < image / jnp.float32(255))


def threshold(image: UInt8[Array, " B H W C"]) -> UInt8[Array, " B H W C"]:
    """Each pixel is 255 where its value is 128 or more, else 0."""
    return _black_or_white(image >= 128)


def mirror(image: UInt8[Array, " B H W C"], heads: Bool[Array, " B"]) -> UInt8[Array, " B H W C"]:
    """Each image whose coin shows heads, mirrored left to right."""
    return jnp.where(heads[:, None, None, None], image[:, :, ::-1], image)


def make(
    *, binarize: str, flip: bool, twins: Sequence[str] = (), held_out: bool = False
) -> Callable[[Mapping, jax.Array, int | jax.Array], Mapping]:
    """Returns transform(batch, key, seed) -> batch.

    The seed, in 0..2^32-1, is an argument and not a constant of the program: runs whose data differ by it share one
    compiled update. Hand a NumPy or JAX uint32 to a compiled function; a Python int above 2^31 would overflow there.

    Args:
      binarize: "none"; "dynamic", drawn anew at each call; "static", drawn once: a function of the seed, the split
        and the image's index alone; "threshold".
      flip: mirror half of the images, chosen anew at each call. Captions that speak of left and right are not
        rewritten: leave it off for them.
      twins: names of the conditions that are images themselves: where an image is mirrored, they are, and nothing
        else ever happens to them.
    """

    def transform(batch: Mapping, key: jax.Array, seed: int | jax.Array) -> Mapping:
        image = batch["image"]
        noise_key, flip_key = jax.random.split(key)
        if binarize == "dynamic":
            image = bernoulli(image, keys_of(noise_key, batch["row"]))
        elif binarize == "static":
            # The generator is named, so that the bits are the same where another is the default.
            fixed = jax.random.key(jnp.asarray(seed, jnp.uint32), impl="threefry2x32")
            fixed = jax.random.fold_in(fixed, HELD_OUT) if held_out else fixed
            image = bernoulli(image, keys_of(fixed, batch["index"]))
        elif binarize == "threshold":
            image = threshold(image)
        if flip:  # after the static draw, whose bits belong to the image as stored
            heads = jax.vmap(jax.random.bernoulli)(keys_of(flip_key, batch["row"]))
            image = mirror(image, heads)
            mirrored = {name: mirror(batch["condition"][name], heads) for name in twins}
            batch = {**batch, "condition": {**batch["condition"], **mirrored}} if twins else batch
        return {**batch, "image": image}

    return transform


def _black_or_white(white: jax.Array) -> jax.Array:
    return jnp.where(white, jnp.uint8(255), jnp.uint8(0))
