"""The masked model: its bound is the mean over all orders, and what it draws keeps what it was given."""

import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shrunk import run_of, shrunk, trained
from transformers import called, made

import gen_jax
from gen_jax.cli.main import main
from gen_jax.data.condition import Condition
from gen_jax.decoding import log_likelihood
from gen_jax.errors import InputError
from gen_jax.method import Variables
from gen_jax.methods import codec, masked
from gen_jax.sample import sampler

LABEL = {"label": Condition("label", (), 3)}
OPTIONS = {"steps": 3, "noise": 1.0, "guidance": 1.0}


def small(grid=(2, 2), **options):
    """A masked model over a few binary pixels, of random weights; its network and its Variables."""
    network, variables = made(tuple(LABEL.items()), grid, 2, causal=False)
    method = masked.masked(
        transformer=network,
        codec=codec.pixels((*grid, 1), 2, np.array([0, 255])),
        dropped=0.1,
        options={**OPTIONS, **options},
        rule=None,
        parts=1,
        keep_average=False,
        conditions=LABEL,
        schedules={},
    )
    return method, network, Variables({"transformer": variables["params"]}, {})


def test_the_bound_is_the_mean_over_all_orders():
    """Of an image of four pixels: the 24 orders by the chain rule, beside many draws of the bound."""
    method, network, variables = small()
    tokens, asked = jnp.array([[0, 1, 1, 0]]), {"label": jnp.array([1])}

    of = called(network, {"params": variables.params["transformer"]})

    def given(hidden):
        logits, _ = of(jnp.where(jnp.array([hidden]), 2, tokens), asked)
        return np.asarray(log_likelihood(logits, tokens))[0]

    table = {hidden: given(hidden) for hidden in itertools.product([False, True], repeat=4)}

    def by_order(order):
        hidden, total = [True] * 4, 0.0
        for place in order:
            total += table[tuple(hidden)][place]
            hidden[place] = False
        return total

    orders = [by_order(order) for order in itertools.permutations(range(4))]
    assert np.std(orders) > 0.01  # they differ: not any of them would do
    masks = [hidden for hidden in table if any(hidden)]
    weight = lambda k: 1 / (4 * math.comb(3, k - 1))  # T / k of the sum, 1 / T for k, 1 / C(T, k) for the mask
    enumerated = sum(weight(sum(m)) * table[m][list(m)].sum() for m in masks)
    assert enumerated == pytest.approx(np.mean(orders), abs=1e-5)

    keys = jax.random.split(jax.random.key(0), 20_000)
    images = jnp.broadcast_to(tokens.reshape(1, 2, 2, 1), (len(keys), 2, 2, 1)).astype(jnp.float32)
    drawn = jax.jit(method.bound)(variables, images, keys, {"label": jnp.full(len(keys), 1)})["elbo"]
    assert drawn.mean() == pytest.approx(np.mean(orders), abs=5 * float(drawn.std()) / np.sqrt(len(keys)))


def test_every_set_of_so_many_places_is_as_likely():
    keys = jax.random.split(jax.random.key(0), 6000)
    hidden = masked.some_hidden(keys, jnp.full(6000, 2), 4)
    assert (hidden.sum(1) == 2).all()
    _, counts = np.unique(np.asarray(hidden), axis=0, return_counts=True)
    assert len(counts) == 6 and (abs(counts - 1000) < 5 * np.sqrt(1000)).all()


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 64])
def test_masks_become_fewer_at_every_step_up_to_none(steps):
    hidden = free = jnp.array([64, 63, 10, 1, 0])
    for n in range(steps):
        now = masked.still_hidden(free, hidden, 1 - (n + 1) / steps)
        assert ((now < hidden) | (hidden <= 0)).all() and (
            now <= 64 * math.cos(math.pi / 2 * (n + 1) / steps) + 1
        ).all()
        if n + 1 < steps:
            assert ((now >= 1) | (hidden <= 1)).all()
        hidden = now
    assert (hidden <= 0).all()


@pytest.mark.parametrize("guidance", [1.0, 0.0, 3.0])
def test_completion_keeps_what_is_given_wherever_it_stands(guidance):
    method, _, variables = small((2, 4), guidance=guidance)
    rng = np.random.default_rng(0)
    images, mask = rng.integers(0, 2, (40, 2, 4, 1)), rng.integers(0, 2, (40, 2, 4, 1))
    found = sampler(method).complete(variables, (images * 255).astype(np.uint8), mask, range(40), {"label": 2})
    assert set(np.unique(found)) == {0, 255}  # no mask is left: it would be the third level
    np.testing.assert_array_equal(found[mask > 0], images[mask > 0] * 255)
    assert (found[mask == 0] != images[mask == 0] * 255).any()


def test_one_token_a_step_by_lot_is_the_mean_over_orders():
    """All images of three pixels: drawn one at a time in an order by lot, beside the mean of p over the orders."""
    method, network, variables = small((1, 3), steps=3, noise=1e9)
    every = jnp.array(list(itertools.product(range(2), repeat=3)))
    called_with = called(network, {"params": variables.params["transformer"]})

    def given(hidden):
        logits, _ = called_with(jnp.where(jnp.array(hidden), 2, every), {"label": jnp.full(8, 1)})
        return np.exp(np.asarray(log_likelihood(logits, every)))

    def of(order):
        hidden, p = [True] * 3, np.ones(8)
        for place in order:
            p = p * given(hidden)[:, place]
            hidden[place] = False
        return p

    want = np.mean([of(order) for order in itertools.permutations(range(3))], 0)
    keys = jax.random.split(jax.random.key(0), 20_000)
    images = jax.jit(lambda keys: method.sample(variables, keys, {"label": jnp.full(len(keys), 1)}, 1.0))(keys)
    found = np.bincount((images.reshape(-1, 3) @ jnp.array([4, 2, 1])).astype(int), minlength=8) / len(keys)
    np.testing.assert_allclose(found, want, atol=5 * np.sqrt(0.25 / len(keys)))


def test_the_bound_is_trained_and_starts_at_that_of_nothing_learned(tmp_path):
    config = shrunk("masked_digits", tmp_path, train__steps=1)
    result = trained(config, tmp_path / "run")
    row = json.loads((tmp_path / "run/metrics.jsonl").read_text())
    places = int(np.prod(result.program.dataset.spec.shape))
    levels = config.model.levels or 256
    assert row["loss"] == -row["elbo"] == pytest.approx(places * np.log(levels), rel=1e-6)


def test_verbs(shared, tmp_path, capsys):
    run = str(run_of("masked_digits", shared))
    out = lambda name: f"--out={tmp_path / name}"
    for mask in ("top", "left", "1,1,2,3"):
        assert main(["complete", run, f"--mask={mask}", "--seeds=0-1", "--count=2", out("part.png")]) == 0
    assert main(["sample", run, "--steps=2", "--guidance=2", "--seeds=0-1", out("grid.png")]) == 0
    assert main(["sample", run, "--top_k=3", out("no.png")]) == 2
    assert "this model takes guidance, noise, steps" in capsys.readouterr().err
    with pytest.raises(InputError, match="steps=0"):
        gen_jax.load(run).sample(range(2), steps=0)
