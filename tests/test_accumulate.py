"""A batch in parts, one after another, learns what the whole batch learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from double import SGD, agree, one_step
from shrunk import each, shrunk

from gen_jax import optimizers
from gen_jax.errors import InputError
from gen_jax.method import mean
from gen_jax.program import build
from gen_jax.runtime import compilation

PARTS = {"train__accumulate": 4}
# Every network is free of batch norm; the penalty draws a number for each row.
WASSERSTEIN = {
    "model__generator__name": "dcgan",
    "model__generator__norm": "none",
    "model__discriminator__name": "dcgan",
    "model__discriminator__norm": "spectral",
    "objective__loss": "wasserstein",
    "objective__r1_weight": 0,
    "objective__r2_weight": 0,
    "objective__gradient_penalty_weight": 10,
}


@pytest.mark.parametrize("scanned", [False, True])
def test_the_gradient_is_the_mean_of_the_parts(scanned, monkeypatch):
    monkeypatch.setattr(compilation, "scanned", lambda: scanned)
    rng = np.random.default_rng(0)
    rows = {"x": rng.standard_normal((24, 5)).astype(np.float32), "y": rng.standard_normal(24).astype(np.float32)}
    params = {"w": jnp.ones(5), "b": jnp.zeros(())}

    def loss(params, rows):
        errors = (rows["x"] @ params["w"] + params["b"] - rows["y"]) ** 2
        return errors, (mean(errors), len(errors))

    found = {}
    for parts in (1, 6):
        step = jax.jit(lambda p, o, r, parts=parts: optimizers.descend(loss, p, o, optax.sgd(0.1), r, parts))
        found[parts] = step(params, optax.sgd(0.1).init(params), rows)
    for whole, parted in zip(*(jax.tree.leaves(found[n][0]) for n in (1, 6)), strict=True):
        np.testing.assert_allclose(whole, parted, rtol=1e-5)
    (one, rows_1), (six, rows_6) = (found[n][2] for n in (1, 6))
    assert float(six.total) == pytest.approx(float(one.total), rel=1e-5) and six.count == one.count == 24
    assert (rows_1, rows_6) == (24, 4)  # of what is no Mean the last part's is kept


SLOW = ("classifier", "autoencoder_digits", "vae_fashion_mnist", "gan_digits")


@pytest.mark.parametrize("devices", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_batch_in_parts_learns_what_a_whole_one_learns(devices, tmp_path):
    """In float64; on eight devices with a State that is split besides."""
    whole = one_step(shrunk("vae_digits", tmp_path, **SGD))
    choice = {"mesh__devices": devices, "mesh__shard_above": 500}
    agree(one_step(shrunk("vae_digits", tmp_path, **PARTS, **choice, **SGD)), whole, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more"),
    [
        *(pytest.param(name, {}, id=name) for name in SLOW),
        pytest.param("gan_digits_unconditional", WASSERSTEIN, id="wgan"),
    ],
)
def test_so_does_every_other_method(name, more, tmp_path):
    whole, parted = (one_step(shrunk(name, tmp_path, **SGD, **more, **choice)) for choice in ({}, PARTS))
    agree(parted, whole, 1e-10)


def test_parts_need_less_memory(tmp_path):
    def working(**choice):
        program = build(shrunk("classifier", tmp_path, model__classifier__width=16, **choice))
        feed = next(program.feeds(0))
        lowered = program.jitted.lower(program.abstract, feed, program.resident, variants=program.variants(0, 1))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert working(**PARTS) < 0.75 * working()


@pytest.mark.parametrize("name", each(["gan_mnist", "sngan_cifar10"]))
def test_batch_norm_is_refused_by_name(name, tmp_path):
    with pytest.raises(InputError, match="train.accumulate=4: batch norm of model.generator is about the"):
        build(shrunk(name, tmp_path, **PARTS))


def test_a_loss_of_the_whole_batch_is_refused(tmp_path):
    (tmp_path / "whole.py").write_text(
        "from gen_jax.losses.adversarial import GameLosses\n"
        "def means(real, fake):\n    return GameLosses(fake.mean() - real.mean(), -fake.mean())\n"
    )
    with pytest.raises(InputError, match="train.accumulate=4: objective.loss is one number for the whole batch"):
        build(shrunk("gan_digits", tmp_path, objective__loss=f"{tmp_path}/whole.py:means", **PARTS))


def test_parts_that_do_not_divide_the_batch_are_refused(tmp_path):
    with pytest.raises(InputError, match="data.batch_size=64 must be divisible by 8 devices times train.accumulate=3"):
        build(shrunk("vae_digits", tmp_path, mesh__devices=8, train__accumulate=3))
