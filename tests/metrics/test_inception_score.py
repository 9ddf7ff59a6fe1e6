"""The Inception score against closed forms and sums written out."""

import numpy as np
import pytest

from gen_jax.errors import InputError
from gen_jax.metrics import inception_score

RNG = np.random.default_rng(0)


def written_out(p):
    marginal = [sum(row[c] for row in p) / len(p) for c in range(len(p[0]))]
    return np.exp(sum(x * np.log(x / m) for row in p for x, m in zip(row, marginal, strict=True)) / len(p))


def test_equals_sums_written_out():
    p = RNG.dirichlet(np.ones(6), size=50)
    value, deviation = inception_score(p, splits=1)
    np.testing.assert_allclose(value, written_out(p.tolist()), rtol=1e-12)
    assert deviation == 0.0


def test_sure_and_even_gives_the_number_of_classes_and_the_rest_gives_one():
    np.testing.assert_allclose(inception_score(np.tile(np.eye(10), (20, 1)), splits=1)[0], 10.0)
    np.testing.assert_allclose(inception_score(np.full((20, 10), 0.1)), (1.0, 0.0), atol=1e-12)
    np.testing.assert_allclose(inception_score(np.tile(np.eye(10)[3], (20, 1))), (1.0, 0.0), atol=1e-12)


def test_splits_are_shuffled_by_the_seed_and_miss_no_row():
    p = np.repeat(np.eye(10), 50, axis=0)  # sorted by class: unshuffled, each split would hold one class and score 1
    value, deviation = inception_score(p, splits=10)
    assert value > 8.0 and deviation > 0.0
    assert inception_score(p, seed=1) == inception_score(p, seed=1) != inception_score(p, seed=2)
    # 7 rows in 3 splits: 3, 2 and 2.
    shuffled = np.random.default_rng(5).permutation(q := RNG.dirichlet(np.ones(4), size=7))
    expected = [written_out(part.tolist()) for part in (shuffled[:3], shuffled[3:5], shuffled[5:])]
    np.testing.assert_allclose(inception_score(q, splits=3, seed=5), (np.mean(expected), np.std(expected)), rtol=1e-12)


def test_unusable_probabilities_are_refused():
    for bad, words in (
        (np.zeros((0, 3)), "0 rows"),
        (np.eye(3), "splits=10 of 3"),
        (np.full((20, 3), 2.0), "softmax"),
        (np.full((20, 3), np.nan), "softmax"),
    ):
        with pytest.raises(InputError, match=words):
            inception_score(bad)
