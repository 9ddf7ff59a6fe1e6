"""The matcher as a Method: what its step descends, what it tells apart, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shrunk import shrunk

from gen_jax import data
from gen_jax.data.condition import parse
from gen_jax.errors import InputError
from gen_jax.losses.contrastive import contrastive
from gen_jax.method import variables_of
from gen_jax.methods import matcher
from gen_jax.networks import READERS
from gen_jax.program import build


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build(shrunk("matcher_shapes", tmp_path_factory.mktemp("matcher")))


def mean(metric):
    return float(metric.total[0] / metric.count[0])


def test_the_loss_is_the_contrastive_one_of_what_match_says(program):
    feed = next(program.feeds(0))
    before = program.init()
    variables = jax.device_get(variables_of(program.method, before))
    batch = program.dataset.gather(np.asarray(feed.batches["index"])[0, 0])
    images, said = batch["image"].astype(np.float32) / 255, batch["condition"]["text"]
    count = len(images)
    row = lambda i: program.method.match(variables, np.broadcast_to(images[i], images.shape), {"text": said})
    similarity = jnp.stack([row(i) for i in range(count)])  # [image, text]
    # Any vectors with these products will do: the images' own, and the texts seen in them.
    expected = contrastive(np.eye(count, dtype=np.float32), similarity.T, 1 / 0.07, said).mean()
    _, metrics = program.update(before, feed, program.variants(0, 1))
    assert mean(metrics["loss"]) == pytest.approx(float(expected), rel=1e-4)
    assert mean(metrics["scale"]) == pytest.approx(1 / 0.07, rel=1e-5)
    nearest = np.asarray(similarity.argmax(1))
    assert mean(metrics["accuracy"]) == pytest.approx((said[nearest] == said).all(1).mean())
    assert abs(similarity).max() <= 1.0 + 1e-6


def test_the_scale_stays_below_its_bound(tmp_path):
    program = build(shrunk("matcher_shapes", tmp_path, objective__temperature=0.01, optimizer__learning_rate=0.5))
    state = program.init()
    for step, feed in enumerate(program.feeds(0)):
        state, _ = program.update(state, feed, program.variants(step, 1))
        assert float(state.params["scale"]["log"]) <= np.float32(np.log(100.0))


def test_the_order_of_words_is_read():
    about = data.make(name="shapes", batch_size=1, scenes=10).spec.conditions["text"]
    said = [
        parse("text", about, f"a small {a} circle above a small {b} square")
        for a, b in (("red", "blue"), ("blue", "red"))
    ]
    reader = READERS["transformer"](size=8, conditions=(("text", about),), width=16)
    condition = {"text": np.stack(said)}
    first, second = reader.apply(reader.init(jax.random.key(0), condition), condition)
    assert abs(first - second).max() > 1e-4


def test_vectors_have_length_one_and_zero_has_a_gradient():
    vectors = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(matcher.unit(vectors), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    assert np.isfinite(jax.grad(lambda x: matcher.unit(x).sum())(vectors)).all()


def test_what_does_not_go_is_refused(tmp_path):
    with pytest.raises(InputError, match="^model.condition: a matcher compares images with what they are asked for by"):
        build(shrunk("matcher_shapes", tmp_path, model__condition=""))
    with pytest.raises(InputError, match="model.condition=audio: data set shapes has no audio"):
        build(shrunk("matcher_shapes", tmp_path, model__condition="audio"))
    with pytest.raises(InputError, match="train.accumulate"):
        shrunk("matcher_shapes", tmp_path, train__accumulate=2)
