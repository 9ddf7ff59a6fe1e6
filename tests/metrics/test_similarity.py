"""Pixel differences against hand computation and scikit-image."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest
import skimage.metrics

from gen_jax.errors import InputError
from gen_jax.metrics import mean_absolute_error, psnr, ssim


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


def pairs(*shape):
    rng = np.random.default_rng(0)
    a = rng.uniform(size=shape).astype(np.float32)
    return a, np.clip(a + 0.2 * rng.normal(size=shape), 0.0, 1.0).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 20, 16, 3), (2, 11, 11, 1)])
def test_structural_similarity_and_psnr_equal_scikit_image(shape):
    a, b = pairs(*shape)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    double = list(zip(a.astype(np.float64), b.astype(np.float64), strict=True))
    expected = [skimage.metrics.structural_similarity(x, y, channel_axis=-1, **options) for x, y in double]
    np.testing.assert_allclose(ssim(a, b), expected, atol=1e-5)
    np.testing.assert_allclose(
        psnr(a, b), [skimage.metrics.peak_signal_noise_ratio(x, y, data_range=1.0) for x, y in double], rtol=1e-5
    )


def test_structural_similarity_is_one_on_itself_and_symmetric():
    a, b = pairs(1, 16, 16, 1)
    flat = np.full((1, 16, 16, 1), 0.3, np.float32)
    np.testing.assert_allclose(ssim(a, a), 1.0, atol=1e-6)
    np.testing.assert_allclose(ssim(flat, flat), 1.0, atol=1e-6)
    np.testing.assert_allclose(ssim(a, b), ssim(b, a), atol=1e-6)


def test_structural_similarity_refuses_what_has_no_window_or_no_number():
    bad = {
        "at least 11": np.zeros((2, 8, 8, 1), np.float32),
        "no images": np.zeros((0, 16, 16, 1), np.float32),
        "NaN": np.full((1, 16, 16, 1), np.nan, np.float32),
        "255": np.zeros((1, 16, 16, 1), np.uint8),
    }
    for words, images in bad.items():
        with pytest.raises(InputError, match=words):
            inspect.unwrap(ssim)(images, images)
    with pytest.raises(InputError, match="shape"):
        inspect.unwrap(ssim)(np.zeros((1, 16, 16, 3), np.float32), np.zeros((1, 16, 16, 1), np.float32))
