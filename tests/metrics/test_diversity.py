"""Mean pairwise distance against scipy."""

import numpy as np
import pytest
import scipy.spatial.distance

from gen_jax.errors import InputError
from gen_jax.metrics import mean_pairwise_distance


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
