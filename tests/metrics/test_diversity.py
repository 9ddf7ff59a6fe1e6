"""Mean pairwise distance against scipy; the Vendi score against sets whose effective number is known."""

import numpy as np
import pytest
import scipy.spatial.distance

from gen_jax.errors import InputError
from gen_jax.metrics import mean_pairwise_distance, vendi_score


def test_equals_scipy():
    images = np.random.default_rng(0).uniform(size=(20, 4, 4, 3)).astype(np.float32)
    expected = scipy.spatial.distance.pdist(images.reshape(20, -1).astype(np.float64)).mean()
    np.testing.assert_allclose(mean_pairwise_distance(images), expected, rtol=1e-12)


def test_a_collapsed_generator_scores_exactly_zero():
    assert mean_pairwise_distance(np.full((5, 4, 4, 1), 0.3)) == 0.0


def test_unsigned_integers_do_not_wrap():
    assert mean_pairwise_distance(np.array([[3], [5]], np.uint8)) == 2.0


def test_one_image_is_refused():
    with pytest.raises(InputError, match="two images"):
        mean_pairwise_distance(np.zeros((1, 4)))


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_vendi_score_is_the_exponential_of_the_entropy_of_the_whole_kernel(shape):
    x = np.random.default_rng(1).normal(size=shape)
    kernel = 1.0 - scipy.spatial.distance.cdist(x, x, "cosine")
    values = np.linalg.eigvalsh(kernel / len(x)).clip(1e-300)
    np.testing.assert_allclose(vendi_score(x), np.exp(-np.sum(values * np.log(values))), rtol=1e-10)


def test_vendi_score_counts_modes_whatever_their_length_and_repetition():
    np.testing.assert_allclose(vendi_score(np.eye(7)), 7.0)
    np.testing.assert_allclose(vendi_score(np.repeat(np.eye(3), 5, axis=0) * np.arange(1.0, 16.0)[:, None]), 3.0)
    np.testing.assert_allclose(vendi_score(np.ones((9, 4))), 1.0)


def test_rows_without_direction_are_refused():
    for bad, words in (
        (np.ones((1, 4)), "at least 2"),
        (np.eye(3) * [0.0, 1.0, 1.0], "zeros"),
        (np.full((3, 2), np.nan), "NaN"),
    ):
        with pytest.raises(InputError, match=words):
            vendi_score(bad)
