"""Label coverage by hand."""

import numpy as np
import pytest

from gen_jax.errors import InputError
from gen_jax.metrics import label_coverage


def test_all_classes_evenly():
    scores = label_coverage(np.tile(np.eye(10), (3, 1)))
    assert scores["classes_found"] == 10
    assert scores["mean_top_probability"] == 1.0
    np.testing.assert_allclose(scores["label_entropy"], np.log(10.0))


def test_a_collapsed_generator():
    scores = label_coverage(np.tile([0.1, 0.7, 0.2], (8, 1)))
    assert scores["classes_found"] == 1
    np.testing.assert_allclose(scores["mean_top_probability"], 0.7)
    np.testing.assert_allclose(scores["label_entropy"], 0.0, atol=1e-12)


def test_uneven_frequencies():
    rows = np.float32([[0.6, 0.3, 0.1], [0.5, 0.1, 0.4], [0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    scores = label_coverage(rows)
    assert scores["classes_found"] == 2
    np.testing.assert_allclose(scores["mean_top_probability"], 0.7)
    np.testing.assert_allclose(scores["label_entropy"], -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))


@pytest.mark.parametrize("rows", [[[2.0, -1.0]], [[0.2, 0.2]], [[np.nan, 1.0]]])
def test_logits_are_refused(rows):
    with pytest.raises(InputError, match="softmax"):
        label_coverage(np.array(rows))


def test_no_images_are_refused():
    with pytest.raises(InputError, match="no images"):
        label_coverage(np.zeros((0, 10)))
