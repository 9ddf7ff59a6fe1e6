"""A tokenizer and its critic: who learns from what, and that nothing else of the tokenizer changes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shrunk import shrunk

from gen_jax.losses import adversarial
from gen_jax.method import variables_of
from gen_jax.networks.patch import Critic
from gen_jax.program import build

SGD = {"optimizer__name": "sgd", "optimizer__b1": 0.0, "optimizer__learning_rate": 1e-4}
CHEAP = {"model__encoder__blocks": 0, "model__decoder__blocks": 0}


@pytest.fixture(scope="module")
def updated(tmp_path_factory):
    """(config, fields) -> the Program, its States before and after an update, and the metrics of that."""
    folder = tmp_path_factory.mktemp("vqgan")

    def run(name="vqgan_emoji", **fields):
        depth = {"model__critic__depth": 1} if name == "vqgan_emoji" else {}
        program = build(shrunk(name, folder, **SGD, **CHEAP, **depth, **fields))
        feed, state = next(program.feeds(0)), program.init()
        before = jax.device_get(state)  # the update takes the state
        after, metrics = program.update(state, feed, (None,))
        found = {name: float(m.total[0] / m.count[0]) for name, m in metrics.items()}
        return program, before, jax.device_get(after), found

    return run


def test_a_critic_of_no_weight_changes_nothing_and_learns(updated):
    _, before, after, metrics = updated(objective__adversarial_weight=0.0, optimizer__critic_ratio=10.0)
    _, _, alone, theirs = updated("fsq_emoji")
    assert {name: metrics[name] for name in theirs} == pytest.approx(theirs, rel=1e-6)
    for name in ("encoder", "decoder"):
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), after.params[name], alone.params[name])
    assert (before.params["critic"]["Conv_1"]["kernel"] != after.params["critic"]["Conv_1"]["kernel"]).any()


def test_the_loss_is_that_of_the_game(updated):
    """Both players' values by hand: the decoder's of its own reconstructions, the critic's of those it then makes."""
    program, before, after, metrics = updated(objective__loss="non_saturating", objective__adversarial_weight=3.0)
    assert metrics["adversarial"] == pytest.approx(np.log(2), rel=1e-6)  # a critic that knows nothing yet
    assert metrics["critic"] == pytest.approx(2 * np.log(2), rel=1e-6)
    assert metrics["loss"] == pytest.approx(metrics["reconstruction"] + 3 * metrics["adversarial"], rel=1e-6)

    images = program.dataset.batch(0, np.arange(64))["image"] / np.float32(255)
    drawn = program.method.reconstruct(variables_of(program.method, after), images, {})

    def loss(params):
        critic = Critic(width=8, depth=1)
        logits = (critic.apply({"params": params}, x).reshape(-1) for x in (images, drawn))
        return adversarial.non_saturating(*logits).discriminator.mean()

    gradient = jax.grad(loss)(before.params["critic"])
    moved = jax.tree.map(lambda old, g: old - 1e-4 * g, before.params["critic"], gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), after.params["critic"], moved)


def test_each_player_moves_itself_alone(updated):
    _, before, after, _ = updated(optimizer__critic_ratio=0.0, objective__adversarial_weight=3.0)
    jax.tree.map(np.testing.assert_array_equal, before.params["critic"], after.params["critic"])
    assert set(after.collections["frozen"]) == set() == set(before.collections["frozen"])


def test_parts_of_a_batch_are_the_whole_batch(updated):
    (_, _, one, a), (_, _, two, b) = (updated(train__accumulate=n) for n in (1, 2))
    for x, y in zip(*map(jax.tree.leaves, (one, two)), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5 * max(1e-3, np.abs(x).max()))
    assert a == pytest.approx(b, rel=1e-5)


def test_a_logit_sees_its_patch_alone():
    critic, image = Critic(width=4, depth=2), jnp.asarray(np.random.default_rng(0).random((1, 32, 32, 3)), jnp.float32)
    variables = critic.init(jax.random.key(0), image)
    assert not critic.apply(variables, image).any()  # it starts by knowing nothing
    variables = jax.tree.map(lambda x: x + 0.1, variables)
    assert critic.apply(variables, image).shape == (1, 8, 8)
    seen = np.abs(jax.grad(lambda x: critic.apply(variables, x)[0, 4, 4])(image))[0].sum(-1)
    rows, columns = (np.flatnonzero(seen.sum(axis)) for axis in (1, 0))
    assert len(rows) == len(columns) == 18 and rows[0] <= 16 <= rows[-1]
