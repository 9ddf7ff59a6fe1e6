"""The networks of a tokenizer: the sides of the grid, what is refused, and that examples do not know of each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import networks
from gen_jax.errors import InputError
from gen_jax.networks import grid


@pytest.mark.parametrize(
    ("shape", "factor"),
    [((28, 28, 1), 4), ((32, 32, 3), 4), ((32, 32, 3), 8), ((6, 10, 1), 2), ((16, 48, 3), 16)],
    ids=str,
)
@pytest.mark.parametrize("name", networks.GRID_ENCODERS)
def test_shapes(name, shape, factor):
    encoder = networks.GRID_ENCODERS[name](features=5, factor=factor)
    decoder = networks.GRID_DECODERS[name](shape, factor=factor, outputs=2)

    def both():
        latents, _ = encoder.init_with_output(jax.random.key(0), jnp.zeros((2, *shape)))
        raw, variables = decoder.init_with_output(jax.random.key(0), latents)
        return latents, raw, variables["params"][networks.OUTPUT]["bias"]

    latents, raw, bias = jax.eval_shape(both)
    assert latents.shape == (2, *grid.grid(shape, factor), 5) == (2, shape[0] // factor, shape[1] // factor, 5)
    assert raw.shape == (2, *shape, 2) and bias.shape == (2 * shape[2],)


@pytest.mark.parametrize(
    ("shape", "factor", "words"),
    [
        ((28, 28, 1), 3, r"model\.factor=3: must be a power of two"),
        ((24, 24, 1), 6, r"model\.factor=6: must be a power of two"),
        ((28, 28, 1), 1, r"model\.factor=1: must be a power of two, at least 2"),
        ((28, 28, 1), 8, r"data\.image_size=28: must be a multiple of model\.factor=8"),
        ((32, 30, 1), 4, r"data\.image_size=\(32, 30\): must be a multiple of model\.factor=4"),
        ((32, 32, 2), 4, r"data\.channels=2: must be 1"),
    ],
)
def test_bad_shapes_are_refused_by_name(shape, factor, words):
    for call in (
        lambda: grid.grid(shape, factor),
        lambda: jax.eval_shape(lambda: grid.Encoder(4, factor).init(jax.random.key(0), jnp.zeros((1, *shape)))),
        lambda: jax.eval_shape(lambda: grid.Decoder(shape, factor).init(jax.random.key(0), jnp.zeros((1, 7, 7, 4)))),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_an_image_is_read_alone_and_precision_reaches_the_head():
    images = jax.random.uniform(jax.random.key(0), (3, 8, 8, 1))
    encoder, decoder = grid.Encoder(3, width=16, blocks=1), grid.Decoder((8, 8, 1), width=16, blocks=1)
    of_encoder, of_decoder = jax.jit(
        lambda: (encoder.init(jax.random.key(0), images), decoder.init(jax.random.key(1), jnp.zeros((1, 2, 2, 3))))
    )()

    def through(images, dtype=jnp.float32):
        latents = encoder.clone(dtype=dtype).apply(of_encoder, images)
        return latents, decoder.clone(dtype=dtype).apply(of_decoder, latents)

    whole = jax.jit(through)(images)
    for a, b in zip(whole, jax.jit(through)(images[1:2]), strict=True):
        np.testing.assert_allclose(a[1:2], b, rtol=1e-4, atol=1e-6)
    for a, b in zip(whole, jax.jit(lambda x: through(x, jnp.bfloat16))(images), strict=True):
        assert b.dtype == jnp.float32
        assert 0 < jnp.abs(a - b).max() < 0.1 * jnp.abs(a).max()
