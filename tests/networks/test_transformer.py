"""The transformer: what it may see, what it makes of all places at once and of one after another, what it sums to."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from transformers import called, made

from gen_jax.data.condition import Condition, zeros
from gen_jax.decoding import log_likelihood
from gen_jax.networks import prefix
from gen_jax.networks.transformer import Transformer, attention, dropout, rotated

LABEL = (("label", Condition("label", (), 3)),)
ALL = (
    *LABEL,
    ("text", Condition("tokens", (5,), 9)),
    ("audio", Condition("audio", (10, 4))),
    ("image", Condition("image", (16, 16, 3))),
)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def wide(*arguments, **fields):
    """The same in float64."""
    return made(*arguments, **{"dtype": jnp.float64, **fields})


def asked(conditions, rows, seed=0):
    """Random values of the conditions; captions of unequal length."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, about in conditions:
        whole = about.kind in ("label", "tokens")
        draw = rng.integers(0, about.size, (rows, *about.shape)) if whole else rng.random((rows, *about.shape))
        found[name] = jnp.asarray(draw, jnp.int32 if whole else jnp.float64)
    if "text" in found:
        ends = rng.integers(1, found["text"].shape[1], rows)
        found["text"] = jnp.where(jnp.arange(found["text"].shape[1]) < ends[:, None], found["text"], 0)
    return found


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_place_sees_what_stands_before_it_and_all_of_that(positions, double):
    network, variables = wide(positions=positions)
    x = jax.random.normal(jax.random.key(2), (1, 6, 8))
    run = lambda x: network.apply(variables, x, 0, None, method="run")[0]
    seen = jnp.abs(jax.jit(jax.jacfwd(run))(x)[0, :, :, 0]).sum((1, 3))  # [place that sees, place that is seen]
    assert (seen[np.triu_indices(6, 1)] == 0).all() and (seen[np.tril_indices(6)] > 1e-6).all()


def test_a_token_changes_no_logits_up_to_its_own(double):
    network, variables = wide(LABEL)
    tokens, condition = jnp.array([[0, 1, 2, 1, 0, 2]]), {"label": jnp.array([1])}
    of = called(network, variables)
    logits = lambda tokens: of(tokens, condition)[0][0]
    for place in range(6):
        moved = logits(tokens.at[0, place].add(1) % 3)
        np.testing.assert_array_equal(moved[: place + 1], logits(tokens)[: place + 1])
        assert place == 5 or (moved[place + 1 :] != logits(tokens)[place + 1 :]).any(1).all()


def test_without_causal_every_place_sees_all(double):
    network, variables = wide(causal=False)
    x = jax.random.normal(jax.random.key(2), (1, 6, 8))
    run = lambda x: network.apply(variables, x, 0, None, method="run")[0]
    assert (jnp.abs(jax.jit(jax.jacfwd(run))(x)[0, :, :, 0]).sum((1, 3)) > 1e-6).all()


@pytest.mark.parametrize("tokens, grid", [(2, (3, 3)), (3, (2, 3))])
def test_probabilities_of_all_images_sum_to_one(tokens, grid, double):
    network, variables = wide(LABEL, grid, tokens)
    every = jnp.array(list(itertools.product(range(tokens), repeat=grid[0] * grid[1])))
    of = called(network, variables)
    for label in range(3):
        logits, _ = of(every, {"label": jnp.full(len(every), label)})
        assert jnp.exp(log_likelihood(logits, every).sum(1)).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_one_token_after_another_gives_the_logits_of_all_at_once(positions, double):
    rows = 3
    network, variables = wide(ALL, positions=positions, rows=rows)
    condition, dropped = asked(ALL, rows), jnp.array([False, True, False])
    tokens = jax.random.randint(jax.random.key(3), (rows, 6), 0, 3)
    whole, _ = called(network, variables)(tokens, condition, dropped)
    logits, cache = called(network, variables, "begin")(condition, dropped)
    follow = called(network, variables, "follow")
    for place in range(6):
        np.testing.assert_allclose(logits, whole[:, place], rtol=0, atol=1e-10)
        if place < 5:
            logits, cache = follow(tokens[:, place], place + 1, cache)


def test_nothing_is_learned_yet_every_token_is_as_likely():
    network = Transformer(7, (2, 2), LABEL, layers=1, width=8, heads=2)
    tokens, condition = jnp.array([[1, 2, 3, 6]]), {"label": jnp.array([0])}
    logits, _ = network.apply(network.init(jax.random.key(0), tokens, condition), tokens, condition)
    np.testing.assert_array_equal(logits, 0)


def test_what_is_withheld_is_not_seen_and_what_is_given_is(double):
    network, variables = wide(ALL)
    tokens, one, other = jnp.zeros((2, 6), jnp.int32), asked(ALL, 2, 0), asked(ALL, 2, 1)
    of = called(network, variables)
    logits = lambda condition, dropped: of(tokens, condition, jnp.array(dropped))[0]
    a, b = logits(one, [True, False]), logits(other, [True, False])
    np.testing.assert_array_equal(a[0], b[0])
    assert (a[1] != b[1]).all()
    for name, about in ALL:  # each of them is seen
        moved = (one[name] + 1) % about.size if about.size else other[name]
        assert (logits({**one, name: moved}, [False, False]) != logits(one, [False, False])).any((1, 2)).all()


def test_the_order_of_words_is_seen(double):
    network, variables = wide(ALL[1:2])
    tokens = jnp.zeros((2, 6), jnp.int32)
    logits, _ = called(network, variables)(tokens, {"text": jnp.array([[1, 4, 5, 6, 2], [1, 6, 5, 4, 2]])})
    assert (logits[0] != logits[1]).all()


def test_a_predicted_caption_sees_itself_only_up_to_the_word(double):
    network, variables = wide(ALL[:2], said="text")
    tokens, condition = jnp.zeros((2, 6), jnp.int32), asked(ALL[:2], 2)
    of = called(network, variables)
    words = lambda text: of(tokens, {**condition, "text": text})[1]
    before = words(condition["text"])
    assert before.shape == (2, 4, 9)
    for place in range(1, 5):
        moved = words(condition["text"].at[:, place].add(1) % 9)
        np.testing.assert_array_equal(moved[:, :place], before[:, :place])
        assert place == 4 or (moved[:, place:] != before[:, place:]).all()


@pytest.mark.parametrize("about", [c for _, c in ALL] + [Condition("audio", (n, 4)) for n in (1, 2, 7, 100)])
def test_as_many_vectors_as_are_said(about):
    conditions = (("x", about),)
    network = prefix.Prefix(conditions, 8)
    found = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), zeros(dict(conditions), 2))[0])
    assert found.shape == (2, prefix.length(conditions), 8)


@pytest.mark.parametrize("shape, side", [((8, 8, 1), 1), ((16, 16, 1), 2), ((28, 28, 1), 4), ((32, 32, 3), 4)])
def test_patches(shape, side):
    assert prefix.patch(shape) == side


def test_attention_is_that_of_the_paper(double):
    q, k, v = (np.asarray(jax.random.normal(jax.random.key(n), (2, 3, 5, 4))) for n in range(3))
    mask = np.tril(np.ones((5, 5), bool))
    for b, h in itertools.product(range(2), range(3)):
        weights = np.where(mask, np.exp(q[b, h] @ k[b, h].T / np.sqrt(4)), 0)
        want = weights / weights.sum(1, keepdims=True) @ v[b, h]
        np.testing.assert_allclose(attention(q, k, mask)[b, h] @ v[b, h], want, rtol=0, atol=1e-12)


def test_nothing_seen_is_no_nan():
    x = jnp.ones((1, 1, 2, 4))
    assert jnp.isfinite(attention(x, x, np.zeros((2, 2), bool))).all()


def test_turned_vectors_meet_by_the_difference_of_their_places(double):
    q, k = (jax.random.normal(jax.random.key(n), (1, 1, 2, 8)) for n in range(2))
    at = lambda x, row, column: rotated(x, jnp.array([[row, column]], jnp.float64))
    meet = lambda a, b: (at(q, *a) * at(k, *b)).sum(-1)
    np.testing.assert_allclose(meet((3, 1), (1, 5)), meet((5, 2), (3, 6)), rtol=1e-10)
    assert (jnp.abs(meet((3, 1), (1, 5)) - meet((3, 1), (2, 5))) > 1e-6).all()
    np.testing.assert_allclose((at(q, 3, 1) ** 2).sum(-1), (q**2).sum(-1), rtol=1e-12)


def test_dropout_keeps_the_mean_and_a_row_its_own():
    x, keys = jnp.ones((2000, 3, 4)), jax.random.split(jax.random.key(0), 2000)
    found = dropout(x, 0.25, keys, 0)
    assert set(np.unique(found)) == {0.0, np.float32(1 / 0.75)}
    assert found.mean() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(dropout(x[5:6], 0.25, keys[5:6], 0), found[5:6])
    assert (dropout(x, 0.25, keys, 1) != found).any()
