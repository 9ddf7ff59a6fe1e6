"""Pixel differences against hand computation."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import InputError
from gen_jax.metrics import mean_absolute_error, psnr


def test_mean_absolute_error_of_known_offsets():
    a = jnp.full((3, 4, 5, 2), 0.25)
    b = a + jnp.array([0.0, 0.5, -0.25])[:, None, None, None]
    np.testing.assert_allclose(mean_absolute_error(a, b), [0.0, 0.5, 0.25], rtol=1e-6)
    np.testing.assert_allclose(mean_absolute_error(np.asarray(a), np.asarray(b)), [0.0, 0.5, 0.25], rtol=1e-6)
    # One of the forty values is off by 0.4.
    np.testing.assert_allclose(mean_absolute_error(a, a.at[0, 0, 0, 0].add(0.4))[0], 0.01, rtol=1e-5)


def test_psnr_of_known_offsets():
    a = jnp.full((3, 4, 5, 1), 0.5)
    b = a + jnp.array([0.0, 0.1, -0.01])[:, None, None, None]
    np.testing.assert_allclose(psnr(a, b), [np.inf, 20.0, 40.0], rtol=1e-5)
    np.testing.assert_allclose(psnr(jnp.zeros((1, 2, 2, 1)), jnp.ones((1, 2, 2, 1))), [0.0], atol=1e-6)


@pytest.mark.parametrize("metric", [mean_absolute_error, psnr])
def test_shapes_that_would_broadcast_and_integers_that_would_wrap_are_refused(metric):
    metric = inspect.unwrap(metric)  # As at run time, where nothing checks the annotations.
    with pytest.raises(InputError, match="shape"):
        metric(jnp.zeros((2, 4, 4, 3)), jnp.zeros((2, 4, 4, 1)))
    with pytest.raises(InputError, match="255"):
        metric(jnp.zeros((2, 4, 4, 3), jnp.uint8), jnp.zeros((2, 4, 4, 3), jnp.uint8))
