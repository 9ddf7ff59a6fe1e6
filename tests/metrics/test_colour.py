"""Colour against known pairs of colours, scikit-image and scipy."""

import inspect

import numpy as np
import pytest
import skimage.color
from scipy.stats import wasserstein_distance

from gen_jax.errors import InputError
from gen_jax.metrics import colour, colour_difference, lab_wasserstein

RNG = np.random.default_rng(0)


def images(n=3, channels=3, side=6):
    return RNG.uniform(size=(n, side, side, channels)).astype(np.float32)


def flat(*colour):
    return np.broadcast_to(np.float32(colour), (1, 4, 4, len(colour)))


def test_black_and_white_are_a_hundred_apart_and_equal_images_are_not():
    np.testing.assert_allclose(colour_difference(flat(0, 0, 0), flat(1, 1, 1)), [100.0], rtol=1e-3)
    np.testing.assert_allclose(colour_difference(flat(0.0), flat(1.0)), [100.0], rtol=1e-3)
    x = images()
    assert (colour_difference(x, x) == 0.0).all()


def test_equals_scikit_image_and_is_symmetric():
    a, b = images(), images()
    lab_a, lab_b = skimage.color.rgb2lab(a.astype(np.float64)), skimage.color.rgb2lab(b.astype(np.float64))
    expected = skimage.color.deltaE_ciede2000(lab_a, lab_b).mean(axis=(1, 2))
    np.testing.assert_allclose(colour_difference(a, b), expected, rtol=1e-10)
    np.testing.assert_allclose(colour_difference(b, a), expected, rtol=1e-10)


def test_wasserstein_equals_scipy_on_every_pixel():
    a, b = images(3), images(5)
    lab_a, lab_b = (skimage.color.rgb2lab(x.astype(np.float64)).reshape(-1, 3) for x in (a, b))
    expected = {name: wasserstein_distance(lab_a[:, i], lab_b[:, i]) for i, name in enumerate("lab")}
    assert lab_wasserstein(a, b) == pytest.approx(expected, rel=1e-10)
    assert lab_wasserstein(b, a) == pytest.approx(expected, rel=1e-10)
    assert lab_wasserstein(a, a) == {"l": 0.0, "a": 0.0, "b": 0.0}


def test_wasserstein_sees_no_places_and_grey_has_only_lightness():
    a = images(4, 1)
    assert lab_wasserstein(a, a[::-1, ::-1]) == pytest.approx({"l": 0.0, "a": 0.0, "b": 0.0}, abs=1e-9)
    result = lab_wasserstein(a, a / 2.0)
    assert result["l"] > 5.0 and max(result["a"], result["b"]) < 0.05


def test_large_sets_are_subsampled_alike_every_time(monkeypatch):
    a, b = images(50, side=16), images(50, side=16) ** 2
    whole = lab_wasserstein(a, b)
    monkeypatch.setattr(colour, "MOST_PIXELS", 3000)
    part = lab_wasserstein(a, b)
    assert part == lab_wasserstein(a, b) and part != whole
    assert part["l"] == pytest.approx(whole["l"], rel=0.1)
    assert lab_wasserstein(a, a) == {"l": 0.0, "a": 0.0, "b": 0.0}


@pytest.mark.parametrize("metric", [colour_difference, lab_wasserstein])
def test_unusable_images_are_refused_by_name(metric):
    metric, good = inspect.unwrap(metric), images()
    for bad, words in (
        (images(channels=1), "channels|shape"),
        (images(side=5), "size|shape"),
        ((good * 255).astype(np.uint8), "uint8; divide by 255"),
        (good * 255, "scale them"),
        (np.where(good > 0.5, np.nan, good), "NaN"),
        (good[:0], "empty"),
        (good[0], "N, H, W"),
        (images(channels=2), "N, H, W"),
    ):
        with pytest.raises(InputError, match=words):
            metric(good, bad)
        with pytest.raises(InputError, match=words):
            metric(bad, good)
