"""The contrastive loss: its exact values, and which texts count as one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.losses.contrastive import contrastive


def units(rng, *shape):
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return units(rng, 6, 5), units(rng, 6, 5)


OTHERS = jnp.arange(6)


def test_it_is_clips_where_all_texts_differ(pair):
    similarity = 7.0 * pair[0] @ pair[1].T
    of = optax.softmax_cross_entropy_with_integer_labels
    expected = (of(similarity, np.arange(6)) + of(similarity.T, np.arange(6))) / 2
    np.testing.assert_allclose(contrastive(*pair, 7.0, OTHERS), expected, rtol=1e-5)


@pytest.mark.parametrize("said", [OTHERS, jnp.zeros(6, int), jnp.array([0, 0, 1, 2, 2, 2])])
def test_equal_vectors_cost_log_b_whatever_is_said(said):
    same = np.tile(units(np.random.default_rng(1), 5), (6, 1))
    np.testing.assert_allclose(contrastive(same, same, 20.0, said), np.log(6), rtol=1e-5)


def test_equal_texts_are_each_others_answer(pair):
    said = np.array([3, 3, 1, 0, 1, 3])
    similarity = np.asarray(4.0 * pair[0] @ pair[1].T, np.float64)
    expected = []
    for i in range(6):
        own = np.flatnonzero(said == said[i])
        of_image = -np.mean([similarity[i, j] - np.log(np.exp(similarity[i]).sum()) for j in own])
        of_text = -np.mean([similarity[j, i] - np.log(np.exp(similarity[:, i]).sum()) for j in own])
        expected.append((of_image + of_text) / 2)
    np.testing.assert_allclose(contrastive(*pair, 4.0, said), expected, rtol=1e-5)


def test_the_least_is_log_of_how_many_say_the_same():
    vectors = np.eye(3)[[0, 0, 1, 2, 2, 2]]
    found = contrastive(vectors, vectors, 100.0, jnp.array([0, 0, 1, 2, 2, 2]))
    np.testing.assert_allclose(found, np.log([2, 2, 1, 3, 3, 3]), atol=1e-5)


def test_all_that_is_said_counts(pair):
    words = jnp.array([[1, 2], [1, 2], [1, 3], [2, 1], [4, 4], [5, 5]])
    one = contrastive(*pair, 4.0, {"text": words})
    assert (one == contrastive(*pair, 4.0, jnp.array([0, 0, 1, 2, 3, 4]))).all()
    both = contrastive(*pair, 4.0, {"text": words, "label": jnp.array([0, 1, 0, 0, 0, 0])})
    np.testing.assert_array_equal(both, contrastive(*pair, 4.0, OTHERS))


def test_the_gradient_leaves_equal_texts_alone_and_parts_others():
    """Two images at one place: with texts alike they stay, with others each is drawn to its own."""
    images, texts = np.tile([1.0, 0.0], (2, 1)), np.array([[0.0, 1.0], [0.0, -1.0]])
    slope = lambda said: jax.grad(lambda x: contrastive(x, texts, 1.0, said).sum())(images)
    np.testing.assert_allclose(slope(jnp.array([0, 0])), 0.0, atol=1e-6)
    apart = np.asarray(slope(jnp.array([0, 1])))
    assert apart[0, 1] < -0.1 and apart[1, 1] > 0.1
