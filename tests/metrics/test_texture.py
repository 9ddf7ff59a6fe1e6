"""Texture against scikit-image, image by image, and patterns whose answer is known."""

import inspect

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

from gen_jax.errors import InputError
from gen_jax.metrics import texture, texture_similarity

RNG = np.random.default_rng(0)
ANGLES = [0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def noise(n=5, channels=1):
    return RNG.uniform(size=(n, 12, 9, channels))


def smooth(n=5, channels=1):
    ramp = np.linspace(0.0, 1.0, 12)[:, None, None] * np.ones((12, 9, channels))
    return np.clip(ramp * RNG.uniform(0.5, 1.0, size=(n, 1, 1, 1)) + 0.02 * RNG.normal(size=(n, 12, 9, channels)), 0, 1)


def by_image(images):
    """Histogram and mean properties, one call of scikit-image an image."""
    codes, properties = [], []
    for image in np.round(images[..., 0] * 255).astype(np.uint8):
        codes.append(local_binary_pattern(image, 8, 1, "uniform")[1:-1, 1:-1].ravel())
        matrix = graycomatrix(image // 16, [1], ANGLES, 16, symmetric=True, normed=True)
        properties.append([graycoprops(matrix, p).mean() for p in texture.PROPERTIES])
    return np.histogram(np.concatenate(codes), bins=np.arange(11))[0], np.mean(properties, axis=0)


def test_equals_scikit_image_one_image_at_a_time(monkeypatch):
    monkeypatch.setattr(texture, "BLOCK", 3)
    a, b = noise(), smooth(7)
    (codes_a, properties_a), (codes_b, properties_b) = by_image(a), by_image(b)
    result = texture_similarity(a, b)
    np.testing.assert_allclose(result.pop("lbp_similarity"), 1.0 - jensenshannon(codes_a, codes_b, base=2), rtol=1e-12)
    assert list(result) == ["glcm_contrast", "glcm_homogeneity", "glcm_energy", "glcm_correlation"]
    np.testing.assert_allclose(list(result.values()), np.abs(properties_a - properties_b), rtol=1e-10)


@pytest.mark.parametrize("channels", [1, 3])
def test_on_itself_one_and_zeros_whatever_the_order_and_symmetric(channels):
    a, b = noise(channels=channels), smooth(channels=channels)
    assert list(texture_similarity(a, a).values()) == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert list(texture_similarity(a, a[::-1]).values()) == pytest.approx([1.0, 0.0, 0.0, 0.0, 0.0], abs=1e-12)
    assert texture_similarity(a, b) == pytest.approx(texture_similarity(b, a))
    assert texture_similarity(a, b)["lbp_similarity"] < 0.9


def test_a_checkerboard_beside_stripes_has_the_contrast_of_its_levels():
    board = (np.indices((8, 8)).sum(axis=0) % 2).astype(np.float64)[None, :, :, None]
    stripes = (np.indices((8, 8))[0] % 2).astype(np.float64)[None, :, :, None]
    # Levels 0 and 15: neighbours differ in two of four angles on the board, in three on the stripes.
    assert texture_similarity(board, stripes)["glcm_contrast"] == pytest.approx((0.75 - 0.5) * 15**2)


def test_constant_images_have_no_correlation_and_leave_the_mean_alone():
    a, b = noise(), smooth()
    with_constant = np.concatenate([b, np.full((2, 12, 9, 1), 0.5)])
    correlation = texture_similarity(a, b)["glcm_correlation"]
    assert texture_similarity(a, with_constant)["glcm_correlation"] == pytest.approx(correlation, rel=1e-12)
    assert texture_similarity(a, with_constant)["glcm_energy"] != texture_similarity(a, b)["glcm_energy"]


def test_unusable_images_are_refused_by_name():
    metric, good = inspect.unwrap(texture_similarity), noise()
    for bad, words in (
        (noise(channels=3), "channels"),
        ((good * 255).astype(np.uint8), "divide by 255"),
        (np.where(good > 0.5, np.nan, good), "NaN"),
        (good[:0], "empty"),
        (np.full_like(good, 0.5), "constant"),
    ):
        with pytest.raises(InputError, match=words):
            metric(good, bad)
        with pytest.raises(InputError, match=words):
            metric(bad, good)
    with pytest.raises(InputError, match="at least 3"):
        metric(good[:, :2], good[:, :2])
