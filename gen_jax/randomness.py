"""Named streams of randomness, and noise that is keyed by the row of a batch.

Every key descends from one seed: fold_in(key(seed), STREAM), then the step. Noise for an example is
drawn from its own key, folded with its row: with the batch sharded over devices the rows are, so the
noise and all that is computed from it is sharded by itself. One plain draw for the whole batch would
have every device compute every example.
"""

import jax
import jax.numpy as jnp

INIT, TRAIN, SAMPLE, EVAL, DATA = range(5)


def stream(seed: int, name: int) -> jax.Array:
    """The key of one named stream (INIT, TRAIN, SAMPLE, EVAL or DATA) under `seed`."""
    return jax.random.fold_in(jax.random.key(seed), name)


def image_keys(seeds) -> jax.Array:
    """One SAMPLE key for each seed [B]: the image of a seed is the same in any batch."""
    fold = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), SAMPLE))
    return fold(jnp.asarray(seeds, jnp.uint32))


def row_keys(key: jax.Array, row: jax.Array) -> jax.Array:
    """One key for each row [B] of a batch."""
    return jax.vmap(lambda r: jax.random.fold_in(key, r))(row)


def normal(keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal noise [B, *shape], row i from keys[i]."""
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def classes(keys: jax.Array, count: int) -> jax.Array:
    """One of `count` classes [B], drawn uniformly for each key: the class is part of what a seed decides."""
    # Folded, so that the class does not come from the bits that the noise of this key comes from.
    return jax.vmap(lambda key: jax.random.randint(jax.random.fold_in(key, 1), (), 0, count))(keys)
