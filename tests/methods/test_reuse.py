"""A run drawn again: the same images, or those that a classifier is sure of; and it travels alone."""

import shutil

import jax
import numpy as np
import pytest
from shrunk import shrunk

import gen_jax
from gen_jax import randomness
from gen_jax.config import base
from gen_jax.config.load import resolve
from gen_jax.errors import InputError
from gen_jax.method import Method, Variables
from gen_jax.methods.reuse import reuse
from gen_jax.train import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    train(shrunk("vae_digits", root, train__steps=2, model__condition="label"), root / "vae")
    train(shrunk("classifier", root, train__steps=1), root / "classifier")
    return root


def config(root, **sections):
    made = base("reuse")
    made.data.update({"name": "npz", "path": str(root / "16x16x1.npz")})
    made.mesh.devices = 1
    for name, fields in sections.items():
        made[name].update(fields)
    return resolve(made)


def test_it_draws_what_its_source_draws_and_travels_alone(runs, tmp_path):
    train(config(runs, source={"run": str(runs / "vae")}), tmp_path / "again")
    there = gen_jax.load(runs / "vae").sample(range(5), {"label": 3})
    shutil.move(runs / "vae", runs / "gone")
    try:
        again = gen_jax.load(tmp_path / "again")
        np.testing.assert_array_equal(again.sample(range(5), {"label": 3}), there)
        assert again.reconstruct(there, {"label": 3}).shape == there.shape
        assert train(config(runs, source={"run": str(runs / "vae")}), tmp_path / "again").state.step == 1
    finally:
        shutil.move(runs / "gone", runs / "vae")


def brightness(levels):
    """A source of images of one grey level each, drawn by key; a judge whose probability of class 1 is that level."""
    draw = lambda key: jax.random.choice(key, np.float32(levels))
    images = lambda keys: jax.vmap(draw)(keys)[:, None, None, None] * np.ones((1, 2, 2, 1), np.float32)
    source = Method(init=None, sample=lambda variables, keys, condition, temperature: images(keys))
    mean = lambda x: x.mean((1, 2, 3))
    judge = Method(init=None, features=lambda v, x: {"probabilities": jax.numpy.stack([1 - mean(x), mean(x)], 1)})
    return source, judge


VARIABLES = Variables({}, {"frozen": {"source": None, "filter": None}})


def test_the_first_that_pleases_is_kept_and_else_the_likeliest():
    source, judge = brightness([0.1, 0.3, 0.5, 0.8, 0.95])
    keys = randomness.image_keys(np.arange(200))
    tried = [keys] + [jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys) for i in (1, 2)]
    levels = np.stack([np.asarray(source.sample(None, k, {}, 1.0))[:, 0, 0, 0] for k in tried], 1)
    expected = [next((level for level in row if level >= 0.75), max(row)) for row in levels]
    chosen = reuse(source, judge, wanted=1, least=0.75, tries=3).sample(VARIABLES, keys, {}, 1.0)
    np.testing.assert_array_equal(np.asarray(chosen)[:, 0, 0, 0], np.float32(expected))
    assert reuse(source, judge, wanted=1, tries=3).latents is None


def test_unasked_the_judge_wants_any_class_and_asked_the_label():
    source, judge = brightness([0.1, 0.5])
    keys = randomness.image_keys(np.arange(100))
    sure = reuse(source, judge, least=0.9, tries=8).sample(VARIABLES, keys, {}, 1.0)
    assert (np.asarray(sure) == np.float32(0.1)).mean() > 0.95  # class 0 at 0.9 is as good as any
    ones = reuse(source, judge, least=0.4, tries=8).sample(VARIABLES, keys, {"label": np.ones(100, np.int32)}, 1.0)
    assert (np.asarray(ones) == np.float32(0.5)).mean() > 0.95


def test_what_does_not_go_together_is_refused(runs, tmp_path):
    source = {"run": str(runs / "vae")}
    for sections, message in [
        ({}, "source.run: method=reuse"),
        ({"source": {"run": str(runs / "classifier")}}, "it draws no samples"),
        ({"source": {"run": str(tmp_path)}}, "no run in"),
        ({"source": source, "filter": {"run": str(runs / "vae")}}, "it cannot classify"),
        ({"source": source, "filter": {"run": str(runs / "classifier"), "wanted": 10}}, "its classes are 0 to 9"),
        ({"source": source, "data": {"image_size": 8}}, "it draws 16x16x1, data.name=npz has 8x8x1"),
    ]:
        with pytest.raises(InputError, match=message):
            train(config(runs, **sections), tmp_path / "refused")
        assert not (tmp_path / "refused").exists()
