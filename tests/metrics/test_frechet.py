"""The Frechet distance against scipy's matrix square root, closed forms and exact arithmetic."""

import inspect
from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg

from gen_jax.errors import InputError
from gen_jax.metrics import (
    check_enough,
    dead_features,
    empty_moments,
    frechet_distance,
    frechet_from_moments,
    mean_and_covariance,
    moments,
    update_moments,
)

RNG = np.random.default_rng(0)


def features(n, d=12):
    return RNG.normal(size=(n, d)) @ RNG.normal(size=(d, d)) + RNG.normal(size=d)


def test_equals_the_matrix_square_root_of_scipy():
    (m1, c1), (m2, c2) = moments(features(200)), moments(features(300))
    root = scipy.linalg.sqrtm(c1 @ c2)
    expected = np.sum((m1 - m2) ** 2) + np.trace(c1 + c2 - 2.0 * np.real(root))
    np.testing.assert_allclose(frechet_from_moments(m1, c1, m2, c2), expected, rtol=1e-8)


def test_commuting_covariances_have_a_closed_form():
    v1, v2 = RNG.uniform(0.1, 2.0, size=(2, 6))
    m1, m2 = RNG.normal(size=(2, 6))
    expected = np.sum((m1 - m2) ** 2) + np.sum((np.sqrt(v1) - np.sqrt(v2)) ** 2)
    np.testing.assert_allclose(frechet_from_moments(m1, np.diag(v1), m2, np.diag(v2)), expected, rtol=1e-12)


def test_zero_on_itself_for_full_and_deficient_rank():
    for n in (200, 5):
        x = features(n)
        assert 0.0 <= frechet_distance(x, x) < 1e-12 * np.trace(moments(x)[1])


def test_rank_deficient_covariances():
    # Both live in the same three dimensions: rotated into them, it is the full-rank problem.
    basis = np.linalg.qr(RNG.normal(size=(12, 12)))[0][:, :3]
    small = [moments(features(50, 3)) for _ in range(2)]
    large = [(basis @ m, basis @ c @ basis.T) for m, c in small]
    np.testing.assert_allclose(
        frechet_from_moments(*large[0], *large[1]), frechet_from_moments(*small[0], *small[1]), rtol=1e-12
    )


def test_symmetric_and_at_least_the_distance_of_the_means():
    first, second = moments(features(8)), moments(features(9))
    forwards = frechet_from_moments(*first, *second)
    np.testing.assert_allclose(forwards, frechet_from_moments(*second, *first), rtol=1e-12)
    assert forwards >= np.sum((first[0] - second[0]) ** 2)


def carried(n, width, rank, dead):
    """Whole numbers x [n, d], x T, and their exact distance, for T symmetric and positive semi-definite.

    Such a T carries one normal to the other at the least cost (Knott & Smith 1984; Brenier 1991): the squared distance
    of the normals is the mean of |x - x T|^2. All of it is whole numbers, so the answer is a fraction.
    """
    x = np.zeros((n, width + dead), np.int64)
    T = np.zeros((width + dead, width + dead), np.int64)
    half = RNG.integers(-3, 4, (width, rank))
    x[:, :width], T[:width, :width] = RNG.integers(-9, 10, (n, width)), half @ half.T
    shuffled = RNG.permutation(width + dead)
    y = x @ T
    step = (x - y).astype(object)
    mean = [Fraction(int(total), n) for total in step.sum(axis=0)]
    of_means = sum(m * m for m in mean)
    return x[:, shuffled] + 0.0, y[:, shuffled] + 0.0, of_means + (int((step**2).sum()) - n * of_means) / (n - 1)


@pytest.mark.parametrize(
    ("n", "width", "rank", "dead"),
    [(300, 24, 24, 0), (300, 18, 18, 110), (9, 32, 32, 0), (20, 32, 5, 4), (300, 64, 64, 64)],
    ids=["full", "dead", "few rows", "few rows, few directions and dead", "half dead"],
)
def test_equals_exact_arithmetic_to_eleven_digits(n, width, rank, dead):
    x, y, exact = carried(n, width, rank, dead)
    for found in (frechet_distance(x, y), frechet_distance(y, x)):
        assert abs(Fraction(found) / exact - 1) < 1e-11
    assert dead_features(x) == dead


def test_features_that_do_not_fit_are_refused():
    distance = inspect.unwrap(frechet_distance)
    for real, fake, words in (
        (features(9, 3), features(9, 4), "one extractor"),
        (features(9, 3), features(1, 3), "fake features are 1 rows"),
        (np.full((9, 3), np.nan), features(9, 3), "real features hold NaN"),
    ):
        with pytest.raises(InputError, match=words):
            distance(real, fake)


def test_moments_are_float64_and_unbiased():
    x = np.float32([[1.0, 0.0], [3.0, 1.0], [5.0, 5.0]])
    mean, covariance = moments(x)
    assert mean.dtype == covariance.dtype == np.float64
    np.testing.assert_allclose(mean, [3.0, 2.0])
    np.testing.assert_allclose(covariance, [[4.0, 5.0], [5.0, 7.0]])
    # A large offset in float32 features must not cost digits; one feature still has a matrix.
    np.testing.assert_allclose(moments(x + np.float32(1e4))[1], covariance, rtol=1e-9)
    assert moments(x[:, :1])[1].shape == (1, 1)


def test_unusable_features_are_refused():
    with pytest.raises(InputError, match="two rows"):
        moments(np.zeros((1, 3)))
    with pytest.raises(InputError, match="NaN"):
        moments(np.array([[0.0, np.nan], [1.0, 1.0]]))


@pytest.mark.parametrize("counts", [(5, 7), (9, 20), (200, 5)])
def test_fewer_rows_than_features_against_singular_values(counts):
    # The trace of the root is the nuclear norm of A B^T where A^T A and B^T B are the covariances: no root at all.
    d = 64
    x, y = (features(n, d) for n in counts)
    a, b = ((z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y))
    nuclear = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    expected = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) + np.sum(a**2) + np.sum(b**2) - 2.0 * nuclear
    np.testing.assert_allclose(frechet_distance(x, y), expected, rtol=1e-12)
    root = np.real(scipy.linalg.sqrtm(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False)))
    np.testing.assert_allclose(expected, expected + 2.0 * (nuclear - np.trace(root)), rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_streaming_equals_all_at_once(offset):
    x = features(1000) + offset
    streamed = empty_moments(12)
    for part in np.split(x, [1, 3, 400, 401, 777]):
        streamed = update_moments(streamed, part)
    assert streamed.count == 1000
    for ours, theirs in zip(mean_and_covariance(streamed), moments(x), strict=True):
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_streaming_float32_far_from_zero_costs_no_digits():
    x = (np.float32(1e4) + np.float32([[0.0, 0.0], [2.0, 1.0], [4.0, 5.0]])).astype(np.float32)
    m = update_moments(update_moments(empty_moments(2), x[:1]), x[1:])
    np.testing.assert_allclose(mean_and_covariance(m)[1], [[4.0, 5.0], [5.0, 7.0]], rtol=1e-9)


def test_streams_of_too_little_are_refused():
    one = update_moments(empty_moments(3), np.zeros((1, 3)))
    with pytest.raises(InputError, match="two rows"):
        mean_and_covariance(one)
    update = inspect.unwrap(update_moments)
    for bad, words in ((np.zeros((0, 3)), "0 rows"), (np.zeros((2, 4)), "4 columns"), (np.full((2, 3), np.nan), "NaN")):
        with pytest.raises(InputError, match=words):
            update(one, bad)


def test_moments_that_hold_nan_or_do_not_fit_are_refused():
    distance = inspect.unwrap(frechet_from_moments)
    with pytest.raises(InputError, match="NaN"):
        distance(np.array([np.nan]), np.eye(1), np.zeros(1), np.eye(1))
    with pytest.raises(InputError, match="one extractor"):
        distance(np.zeros(2), np.eye(2), np.zeros(1), np.eye(1))


def test_too_few_images_for_a_covariance_are_refused_with_a_number_that_would_do():
    check_enough(65, 64)
    with pytest.raises(InputError, match="at least 65 images"):
        check_enough(64, 64)
