"""The kernel distance against the double sums of its definition."""

import inspect

import numpy as np
import pytest

from gen_jax.errors import InputError
from gen_jax.metrics import kernel_distance

RNG = np.random.default_rng(0)


def double_sum(x, y):
    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1.0) ** 3

    m = len(x)
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within - 2.0 * sum(k(a, b) for a in x for b in y) / m**2


def test_equals_double_sums_where_the_subset_is_the_set():
    x, y = RNG.normal(size=(12, 5)), RNG.normal(size=(12, 5)) + 0.3
    value, deviation = kernel_distance(x, y, subsets=3, subset_size=12)
    np.testing.assert_allclose(value, double_sum(x.tolist(), y.tolist()), rtol=1e-12)
    assert deviation < 1e-12
    np.testing.assert_allclose(kernel_distance(y, x, subsets=1, subset_size=12)[0], value, rtol=1e-12)


def test_subsets_of_two_average_to_the_whole():
    # Of three rows each, every pair of pairs is drawn about equally often.
    x, y = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))
    value, deviation = kernel_distance(x, y, subsets=1000, subset_size=2)
    expected = kernel_distance(x, y, subsets=1, subset_size=3)[0]
    assert abs(value - expected) < 5.0 * deviation / np.sqrt(1000)


def test_unbiased_hence_both_signs_between_halves_of_one_set():
    values = []
    for _ in range(60):
        x = RNG.normal(size=(40, 4))
        values.append(kernel_distance(x[:20], x[20:], subsets=1, subset_size=20)[0])
    assert min(values) < 0.0 < max(values)
    assert abs(np.mean(values)) < 4.0 * np.std(values) / np.sqrt(len(values))


def test_one_seed_one_number():
    x, y = RNG.normal(size=(50, 4)), RNG.normal(size=(60, 4))
    first = kernel_distance(x, y, subsets=5, subset_size=20, seed=3)
    assert first == kernel_distance(x, y, subsets=5, subset_size=20, seed=3)
    assert first != kernel_distance(x, y, subsets=5, subset_size=20, seed=4)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((9, 3)), np.zeros((20, 3)), "subset_size=10 with 9 real and 20 fake"),
        (np.zeros((20, 3)), np.zeros((20, 4)), "one extractor"),
        (np.full((20, 3), np.inf), np.zeros((20, 3)), "real features hold NaN or infinity"),
        (np.zeros((20, 3)), np.zeros((0, 3)), "fake features are 0 rows"),
        (np.zeros((20, 3), np.uint8), np.zeros((20, 3)), "uint8"),
    ],
)
def test_unusable_sets_are_refused(x, y, words):
    with pytest.raises(InputError, match=words):
        inspect.unwrap(kernel_distance)(x, y, subset_size=10)
