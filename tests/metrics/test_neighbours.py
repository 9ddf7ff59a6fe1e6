"""Neighbourhoods against the prdc package, scipy's distances, and sets whose answer is known."""

import inspect

import numpy as np
import pytest
import scipy.spatial.distance
from prdc import compute_prdc

from gen_jax.errors import InputError
from gen_jax.metrics import Neighbours, memorisation, nearest, neighbour_metrics, neighbours

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(6, 20))


def gaussian(n, scale=1.0):
    return scale * RNG.normal(size=(n, 20))


def clusters(n, width, offset=0.0):
    return CENTRES[RNG.integers(len(CENTRES), size=n)] + width * RNG.normal(size=(n, 20)) + offset


def by_prdc(real, fake):
    first, second = (compute_prdc(real.astype(np.float64), fake.astype(np.float64), k) for k in (3, 5))
    return first["precision"], first["recall"], second["density"], second["coverage"]


def by_definition(real, fake):
    def radii(x, k):
        return np.sort(scipy.spatial.distance.cdist(x, x), axis=1)[:, k]

    distance = scipy.spatial.distance.cdist(real, fake)
    in_dc = distance < radii(real, 5)[:, None]
    precision = (distance < radii(real, 3)[:, None]).any(axis=0).mean()
    return precision, (distance < radii(fake, 3)).any(axis=1).mean(), in_dc.sum() / (5 * len(fake)), in_dc.any(1).mean()


@pytest.fixture(autouse=True, params=[2**24, 20_000])
def block(request, monkeypatch):
    """All rows at once, and a few at a time."""
    monkeypatch.setattr(neighbours, "BLOCK", request.param)


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        (gaussian(500), gaussian(400, 0.9)),
        (gaussian(500).astype(np.float32), gaussian(400, 1.1).astype(np.float32)),
        (gaussian(12), gaussian(7)),
        (clusters(500, 0.1), clusters(900, 0.12)),
        # Tight and far: |x|^2 is 10^6 times a radius squared, float32's last digit and more.
        (clusters(500, 1e-4), clusters(400, 1e-4)),
        # One outlier makes the rounding bound of float32 useless for all.
        (np.concatenate([gaussian(400), np.full((1, 20), 1e5)]), gaussian(400)),
    ],
)
def test_equals_prdc(real, fake):
    np.testing.assert_allclose(neighbour_metrics(real, fake), by_prdc(real, fake), rtol=1e-12)


@pytest.mark.parametrize(("width", "offset"), [(1e-3, 1e6), (1e-6, 0.0)])
def test_equals_the_definition_where_products_in_float64_no_longer_do(width, offset):
    real, fake = clusters(300, width, offset), clusters(300, width, offset)
    np.testing.assert_allclose(neighbour_metrics(real, fake), by_definition(real, fake), rtol=1e-12)


@pytest.mark.parametrize("x", [gaussian(300), clusters(300, 1e-4, 1e5), gaussian(300).astype(np.float32)])
def test_of_a_set_and_itself_all_are_exactly_one(x):
    assert neighbour_metrics(x, x.copy()) == Neighbours(1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_no_unit_is_too_small_or_too_large_for_float32(unit):
    real, fake = gaussian(300), gaussian(300)
    np.testing.assert_allclose(neighbour_metrics(unit * real, unit * fake), neighbour_metrics(real, fake), rtol=1e-12)
    np.testing.assert_allclose(nearest(unit * real, unit * fake)[1], unit * nearest(real, fake)[1], rtol=1e-12)


def test_sets_apart_score_zero_and_swapping_swaps_precision_and_recall():
    real, fake = gaussian(60), gaussian(80)
    assert neighbour_metrics(real, fake + 100.0) == Neighbours(0.0, 0.0, 0.0, 0.0)
    there, back = neighbour_metrics(real, fake), neighbour_metrics(fake, real)
    assert (there.precision, there.recall) == (back.recall, back.precision)


def test_a_dropped_mode_lowers_recall_and_not_precision():
    # Far apart, so that a ball of one cluster holds nothing of another.
    real, fake = (np.concatenate([gaussian(200), gaussian(200) + 50.0]) for _ in range(2))
    both, one = neighbour_metrics(real, fake), neighbour_metrics(real, fake[:200])
    assert one.precision > both.precision - 0.05
    assert one.recall < 0.6 * both.recall and one.coverage < 0.6 * both.coverage


@pytest.mark.parametrize("columns", [1, 63, 64, 700, 5000])
def test_largest_are_the_largest(columns):
    values = RNG.normal(size=(9, columns)).astype(np.float32)
    count = min(6, columns)
    chosen = neighbours._largest(values, count)
    expected = np.argsort(-values, axis=1)[:, :count]
    np.testing.assert_array_equal(np.sort(chosen, axis=1), np.sort(expected, axis=1))


@pytest.mark.parametrize("sets", [(gaussian(40), gaussian(3000)), (clusters(40, 1e-4, 1e5), clusters(900, 1e-4, 1e5))])
def test_nearest_equals_scipy(sets):
    distance = scipy.spatial.distance.cdist(*sets)
    index, value = nearest(*sets)
    np.testing.assert_array_equal(index, distance.argmin(axis=1))
    np.testing.assert_allclose(value, distance.min(axis=1), rtol=1e-6)


def test_copies_are_found_and_unseen_images_are_not():
    train, test, new = gaussian(600), gaussian(500), gaussian(500)
    honest = memorisation(new, train, test)
    assert honest["copies"] == 0 and honest["share_closer"] < 0.04 and 0.95 < honest["median_ratio"] < 1.05
    fake = np.concatenate([new[:400], train[:100]])
    assert memorisation(fake, train, test)["copies"] == 100
    near = np.concatenate([new[:400], train[:100] + 1e-3])
    result = memorisation(near, train, test)
    assert result["copies"] == 0 and 0.2 <= result["share_closer"] < 0.23
    by_scipy = np.median(scipy.spatial.distance.cdist(near, train).min(axis=1))
    np.testing.assert_allclose(result["median_distance"], by_scipy, rtol=1e-12)


def test_unusable_sets_are_refused():
    x = gaussian(20)
    nan = np.where(np.arange(20)[:, None] == 3, np.nan, x)
    metrics = inspect.unwrap(neighbour_metrics)
    for real, fake, words in (
        (x[:5], x, "real features are 5 rows; give at least 6"),
        (x, x[:0], "fake features are 0 rows"),
        (nan, x, "real features hold NaN"),
        (x, x[:, :3], "one extractor"),
        (np.ones((20, 20)), x, "real features are all equal"),
        (x, np.ones((20, 20)), "fake features are all equal"),
        (x.astype(np.int64), x, "int64"),
        (x[0], x, "shape"),
    ):
        with pytest.raises(InputError, match=words):
            metrics(real, fake)
    with pytest.raises(InputError, match="k_pr=0"):
        metrics(x, x, k_pr=0)
    with pytest.raises(InputError, match="real features are 0 rows"):
        inspect.unwrap(nearest)(x, x[:0])
    with pytest.raises(InputError, match="held out"):
        memorisation(x, x, x)
