"""The GPT: exact probabilities, samples that follow them, and what is given or asked for."""

import dataclasses
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shrunk import run_of, shrunk, trained
from transformers import called, made

import gen_jax
from gen_jax import data
from gen_jax.cli.main import main
from gen_jax.data.condition import Condition
from gen_jax.decoding import guided
from gen_jax.errors import InputError
from gen_jax.method import Variables
from gen_jax.methods import codec, gpt
from gen_jax.program import build
from gen_jax.sample import sampler
from gen_jax.testing import check_sampler

LABEL = {"label": Condition("label", (), 3)}
PLAIN = {"guidance": 1.0, "top_k": 0, "top_p": 1.0}


def small(levels=2, shape=(2, 2, 1), conditions=LABEL, values=(0, 255)):
    """A GPT over a few pixels, of random weights, and its Variables."""
    network, variables = made(tuple(conditions.items()), shape[:2], levels)
    method = gpt.gpt(
        transformer=network,
        codec=codec.pixels(shape, levels, np.array(values)),
        said="",
        dropped=0.1,
        options=dict(PLAIN),
        rule=None,
        parts=1,
        keep_average=False,
        conditions=conditions,
        schedules={},
    )
    return method, Variables({"transformer": variables["params"]}, {})


def every(levels, shape):
    """All images, as tokens [S, T] and as pixels [S, *shape]."""
    tokens = jnp.array(list(itertools.product(range(levels), repeat=shape[0] * shape[1])))
    return tokens, tokens.reshape(-1, *shape) / (levels - 1)


@pytest.mark.parametrize("levels, values", [(2, np.array([0, 255])), (3, np.array([0, 1, 127, 128, 254, 255]))])
def test_probabilities_of_all_images_sum_to_one(levels, values):
    """Of the 8-bit images: several values may stand for one level."""
    method, variables = small(levels, (1, 4, 1), values=values)
    images = np.array(list(itertools.product(values, repeat=4)), np.float32).reshape(-1, 1, 4, 1) / 255
    log_prob = jax.jit(method.log_prob)
    for label in range(3):
        p = jnp.exp(log_prob(variables, images, {"label": jnp.full(len(images), label)}))
        assert p.sum() == pytest.approx(1, abs=1e-4)


def table(method, variables, label, temperature, guidance, top_k, top_p):
    """log p of every image under these options: the tables of each prefix, changed and renormalised, by NumPy."""
    tokens, _ = every(3, (1, 3, 1))
    network, _ = made(tuple(LABEL.items()), (1, 3), 3)
    of = called(network, {"params": variables.params["transformer"]})
    asked = {"label": jnp.full(len(tokens), label)}
    logits = [of(tokens, asked, jnp.full(len(tokens), without))[0] for without in (False, True)]
    p = np.asarray(jax.nn.softmax(guided(*logits, guidance) / temperature), np.float64)
    order = np.argsort(-p, -1)
    ranked = np.take_along_axis(p, order, -1)
    drop = np.cumsum(ranked, -1) - ranked >= top_p
    if top_k:
        drop[..., top_k:] = True
    np.put_along_axis(p, order, np.where(drop, 0, ranked), -1)
    p /= p.sum(-1, keepdims=True)
    return np.log(np.maximum(np.take_along_axis(p, np.asarray(tokens)[..., None], -1)[..., 0].prod(1), 1e-300))


@pytest.mark.parametrize(
    "how",
    [{}, {"temperature": 0.6}, {"top_k": 2}, {"top_p": 0.8}, {"guidance": 2.5}, {"guidance": 0.0}, {"guidance": 0.5}],
    ids=str,
)
def test_samples_follow_the_table(how):
    method, variables = small(3, (1, 3, 1), values=(0, 128, 255))
    temperature = how.get("temperature", 1.0)
    options = {**PLAIN, **{name: value for name, value in how.items() if name != "temperature"}}
    log_p = jnp.asarray(table(method, variables, 1, temperature, **options))

    @jax.jit
    def draw(keys):
        images = method.sample(variables, keys, {"label": jnp.full(len(keys), 1)}, temperature, **options)
        return (images.reshape(len(keys), -1) * 2 @ jnp.array([9.0, 3.0, 1.0])).round().astype(jnp.int32)

    def sample(key, count):
        return draw(jax.random.split(key, count))

    check_sampler(lambda n: log_p[n], sample, support=jnp.arange(27))


def test_what_is_said_beside_a_guided_image_does_not_change_it():
    method, variables = small()
    run = sampler(method)
    many = run.sample(variables, range(9), {"label": np.arange(9) % 3}, guidance=3.0)
    np.testing.assert_array_equal(run.sample(variables, [4], {"label": 1}, guidance=3.0)[0], many[4])
    again = run.sample(variables, range(9), {"label": np.arange(9) % 3}, guidance=3.0, draw=1)
    assert (again != many).any()
    np.testing.assert_array_equal(run.sample(variables, [4], {"label": 1}, guidance=3.0, draw=1)[0], again[4])


def test_completion_keeps_what_is_given_and_draws_the_rest_from_the_conditional():
    method, variables = small()
    _, images = every(2, (2, 2, 1))
    log_p = jax.jit(method.log_prob)(variables, images, {"label": jnp.full(16, 1)})
    given = np.tile(np.array([[1.0, 0.0], [0.0, 0.0]]).reshape(1, 2, 2, 1), (1, 1, 1, 1))
    mask = np.array([[1.0, 1.0], [0.0, 0.0]]).reshape(1, 2, 2, 1)
    of = np.flatnonzero([(np.asarray(image)[0, :, 0] == [1, 0]).all() for image in images])
    conditional = jnp.asarray(log_p[of] - jax.nn.logsumexp(log_p[of]))

    @jax.jit
    def draw(keys):
        tile = lambda x: jnp.broadcast_to(jnp.asarray(x, jnp.float32), (len(keys), 2, 2, 1))
        found = method.complete(variables, tile(given), tile(mask), keys, {"label": jnp.full(len(keys), 1)})
        return found

    def sample(key, count):
        found = draw(jax.random.split(key, count))
        assert (found[:, 0, 0] == 1).all() and (found[:, 0, 1] == 0).all()
        return (found[:, 1, :, 0] * jnp.array([2, 1])).sum(1).astype(jnp.int32)

    check_sampler(lambda n: conditional[n], sample, support=jnp.arange(4))


@pytest.mark.parametrize("rows", [[[1, 0], [1, 0]], [[0, 1], [1, 1]], [[0, 0], [1, 1]]], ids=str)
def test_a_mask_that_keeps_what_comes_later_is_refused(rows):
    method, variables = small()
    images, mask = np.zeros((2, 2, 2, 1), np.uint8), np.array(rows)[..., None]
    with pytest.raises(InputError, match="draws 2x2 patches of 1x1 pixels from the top left"):
        sampler(method).complete(variables, images, mask, [0, 1], {"label": 0})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"top_k": 3}, "top_k=3: there are 2 tokens"),
        ({"top_k": 1.5}, "whole"),
        ({"guidance": -1.0}, "between 0"),
        ({"top_p": float("nan")}, "between 0"),
        ({"steps": 4}, "this model takes guidance, top_k, top_p"),
    ],
)
def test_options_that_cannot_be(options, message):
    method, variables = small()
    with pytest.raises(InputError, match=message):
        sampler(method).sample(variables, [0], {"label": 0}, **options)


def test_the_loss_is_the_likelihood_and_starts_at_that_of_nothing_learned(tmp_path):
    config = shrunk("gpt_digits", tmp_path, objective__condition_dropout=0.0, train__steps=1)
    result = trained(config, tmp_path / "run")
    row = json.loads((tmp_path / "run/metrics.jsonl").read_text())
    tokens = 256 if not config.model.levels else config.model.levels
    places = int(np.prod(result.program.dataset.spec.shape))
    assert row["loss"] == -row["log_likelihood"] == pytest.approx(places * np.log(tokens), rel=1e-6)


def test_what_is_withheld_from_all_is_never_learned(tmp_path):
    """With all conditions withheld the label's table gets no gradient; with none withheld it does."""
    moved = {}
    for rate in (0.0, 1.0):
        config = shrunk("gpt_digits", tmp_path, objective__condition_dropout=rate, optimizer__weight_decay=0.0)
        program = build(config)
        state = program.init()
        before = jax.device_get(state.params["transformer"]["prefix"]["label"]["embedding"])
        for feed in itertools.islice(program.feeds(0), 2):  # the head starts at zero: nothing reaches below it at first
            state, _ = program.update(state, feed, program.variants(int(state.step), 1))
        moved[rate] = (state.params["transformer"]["prefix"]["label"]["embedding"] != before).any()
    assert moved[0.0] and not moved[1.0]


def test_average_and_source_travel_with_the_run(shared):
    run = gen_jax.load(run_of("gpt_digits", shared))
    assert run.weights == "average" or run.state.average is None
    images = run.sample(range(3), {"label": 1})
    assert images.shape == (3, *run.spec.shape)


def test_the_best_of_some_draws_is_the_one_that_the_scorer_likes_best(shared):
    run = gen_jax.load(run_of("gpt_digits", shared))
    bright = dataclasses.replace(run, method=run.method._replace(match=lambda v, images, c: images.mean((1, 2, 3))))
    drawn = np.stack([run.sample(range(5), {"label": 3}, draw=i) for i in range(4)])
    best = run.best_of(4, bright, range(5), {"label": 3})
    np.testing.assert_array_equal(best, drawn[drawn.mean((2, 3, 4)).argmax(0), range(5)])
    np.testing.assert_array_equal(run.best_of(1, bright, range(5), {"label": 3}), run.sample(range(5), {"label": 3}))
    with pytest.raises(InputError, match="does not score images"):
        run.best_of(2, run, range(5), {"label": 3})
    with pytest.raises(InputError, match="what the scorer shall look for: label"):
        run.best_of(2, bright, range(5), None)
    other = dataclasses.replace(bright, method=bright.method._replace(conditions=LABEL))
    with pytest.raises(InputError, match="reads another label"):
        run.best_of(2, other, range(5), {"label": 3})


def test_verbs(shared, tmp_path, capsys):
    run = str(run_of("gpt_digits", shared))
    out = lambda name: f"--out={tmp_path / name}"
    assert main(["complete", run, "--seeds=0-1", "--count=2", out("half.png")]) == 0
    assert main(["sample", run, "--guidance=2", "--top_k=2", "--seeds=0-1", out("grid.png")]) == 0
    for words in (["--mask=left"], ["--mask=0,0,1,1"], ["--mask=nowhere"], ["--mask=1,2"], ["--mask=absent.png"]):
        capsys.readouterr()
        assert main(["complete", run, *words, "--seeds=0", out("no.png")]) == 2
        assert capsys.readouterr().err.count("error: ") == 1
    assert main(["sample", run, "--best_of=2", out("no.png")]) == 2
    assert main(["sample", run, "--steps=3", out("no.png")]) == 2
    assert "this model takes guidance, top_k, top_p" in capsys.readouterr().err
    assert not (tmp_path / "no.png").exists()


def test_exact_levels_share_nothing_out_and_know_no_other_value():
    """The 17 levels of scikit-learn's digits: a value between two of them is impossible, and costs nothing else."""
    values = codec.level_values(17)
    np.testing.assert_array_equal(codec.level_of(values, 17), np.arange(17))
    assert set(np.unique(data.make(name="digits", image_size=8, batch_size=1).resident["image"])) == set(values)
    log_shares = codec.shared_out(17, values)
    np.testing.assert_array_equal(log_shares[values], 0)
    assert np.isneginf(np.delete(log_shares, values)).all()
    shares = np.exp(codec.shared_out(17, np.arange(256)))
    np.testing.assert_allclose(np.bincount(codec.level_of(np.arange(256), 17), shares), 1)
