"""Random pixels against counts and moments taken here, and what their runs can do."""

import json
import math

import jax
import numpy as np
import pytest
from scipy import stats
from shrunk import shrunk
from shrunk import trained as train

import gen_jax
from gen_jax import randomness
from gen_jax.cli.main import main
from gen_jax.errors import InputError
from gen_jax.method import Variables, variables_of
from gen_jax.methods import random_pixels
from gen_jax.methods.random_pixels import RIDGE
from gen_jax.program import build
from gen_jax.runtime import mesh
from gen_jax.sample import sampler
from gen_jax.testing import check_sampler

SIDE = 8
EVERY_PAIR = {"support": np.stack(np.meshgrid(*[np.arange(4) / 3] * 2), -1).reshape(-1, 2)}


@pytest.fixture
def images(tmp_path):
    """300 images 8x8 that are black at the left, of few levels, those of class 1 brighter; all of them train."""
    rng = np.random.default_rng(0)
    labels = np.arange(300, dtype=np.int64) % 2
    images = (rng.integers(0, 5, (300, SIDE, SIDE, 1)) * 40 + labels[:, None, None, None] * 60).astype(np.uint8)
    images[:, :, 0] = 0
    np.savez(tmp_path / "few.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    return images, labels


def fitted(tmp_path, **overrides):
    program = build(shrunk("random_digits", tmp_path, **{"data__path": tmp_path / "few.npz", **overrides}))
    state = program.init()
    return program.method, variables_of(program.method, program.fit(state)[0] if program.method.fit else state)


def histogram(images, levels):
    """[H * W * C, levels], one image's worth of every level added, counted one by one."""
    counts = np.full((images[0].size, levels), 1 / levels)
    for image in images:
        for pixel, value in enumerate(image.ravel().tolist()):
            counts[pixel, value * (levels - 1) // 255] += 1
    return counts / (len(images) + 1)


@pytest.mark.parametrize("binarize, levels", [("none", 256), ("threshold", 2)])
def test_uniform_pixels_have_the_same_probability_all(binarize, levels, images, tmp_path):
    method, variables = fitted(tmp_path, model__kind="uniform", data__binarize=binarize)
    drawn = np.asarray(method.sample(variables, randomness.image_keys(np.arange(500)), {}, 1.0))
    assert method.discrete and method.fit is None and method.step is None
    np.testing.assert_allclose(method.log_prob(variables, drawn[:3], {}), -(SIDE**2) * math.log(levels), rtol=1e-5)
    counts = np.bincount(np.rint(drawn * (levels - 1)).astype(int).ravel(), minlength=levels)
    assert len(counts) == levels and stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("binarize, levels", [("none", 256), ("threshold", 2)])
def test_marginal_is_the_histogram_of_each_pixel(binarize, levels, images, tmp_path):
    method, variables = fitted(tmp_path, data__binarize=binarize)
    pictures = images[0] if levels == 256 else np.where(images[0] >= 128, 255, 0)
    truth = histogram(pictures, levels)
    np.testing.assert_allclose(variables.collections["pixels"]["log_p"][0], np.log(truth), atol=1e-5)
    levels_of = [np.asarray(p).ravel().astype(int) * (levels - 1) // 255 for p in pictures[:5]]
    expected = [np.log(truth[np.arange(SIDE**2), level]).sum() for level in levels_of]
    found = method.log_prob(variables, pictures[:5].astype(np.float32) / 255, {})
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # 4.5 standard errors of the mean of 4,000 draws, pixel by pixel.
    drawn = np.asarray(method.sample(variables, randomness.image_keys(np.arange(4000)), {}, 1.0))
    values = np.linspace(0, 1, levels)
    mean = truth @ values
    spread = np.sqrt(truth @ values**2 - mean**2)
    assert (np.abs(drawn.reshape(4000, -1).mean(0) - mean) < 4.5 * spread / np.sqrt(4000)).all()
    assert np.isin(np.rint(drawn * 255), np.rint(values * 255)).all()


@pytest.mark.parametrize("kind", ["uniform", "marginal", "gaussian"])
def test_draws_have_the_probabilities_that_log_prob_gives(kind):
    """Over all images of two pixels and four levels; of the gaussian, over one pixel far from black and white."""
    shape = (1, 1, 1) if kind == "gaussian" else (1, 2, 1)
    log_p = jax.nn.log_softmax(np.random.default_rng(0).normal(size=(1, 2, 4)).astype(np.float32))
    method, pixels, where = {
        "uniform": lambda: (random_pixels.uniform(shape, 4), {}, EVERY_PAIR),
        "marginal": lambda: (random_pixels.marginal(shape, 4, {}), {"log_p": log_p}, EVERY_PAIR),
        "gaussian": lambda: (random_pixels.gaussian(shape, {}), {"mean": np.full((1, 1), 0.5, np.float32),
                             "factor": np.full((1, 1, 1), 0.05, np.float32)}, {"interval": (0.2, 0.8)}),
    }[kind]()  # fmt: skip
    variables = Variables({}, {"pixels": pixels})
    event = (2,) if shape[1] == 2 else ()
    sample = lambda key, count: method.sample(variables, jax.random.split(key, count), {}, 1.0).reshape(-1, *event)
    check_sampler(lambda x: method.log_prob(variables, x.reshape(-1, *shape), {}), sample, **where)


def test_marginal_at_temperature_zero_is_the_most_frequent_level(images, tmp_path):
    method, variables = fitted(tmp_path)
    image = method.sample(variables, randomness.image_keys([7]), {}, 0.0)[0]
    truth = histogram(images[0], 256)
    chosen = np.rint(np.asarray(image) * 255).astype(int).ravel()
    np.testing.assert_allclose(truth[np.arange(SIDE**2), chosen], truth.max(-1))


def test_each_class_has_its_own_histogram_and_gaussian(images, tmp_path):
    pictures, labels = images
    asked = {"label": np.array([0, 1])}
    method, variables = fitted(tmp_path, model__condition="label")
    for label in (0, 1):
        truth = histogram(pictures[labels == label], 256)
        np.testing.assert_allclose(variables.collections["pixels"]["log_p"][label], np.log(truth), atol=1e-5)
    dark, bright = method.sample(variables, randomness.image_keys([3, 3]), asked, 1.0)
    assert dark.mean() < bright.mean()
    pair = np.stack([pictures[1], pictures[1]]).astype(np.float32) / 255
    assert np.subtract(*method.log_prob(variables, pair, asked)) < -5
    method, variables = fitted(tmp_path, model__condition="label", model__kind="gaussian")
    means = np.stack([pictures[labels == label].mean(0) for label in (0, 1)]) / 255
    drawn = method.sample(variables, randomness.image_keys([3, 3]), asked, 0.0)
    np.testing.assert_allclose(drawn, means, atol=1e-5)
    assert np.subtract(*method.log_prob(variables, pair, asked)) < -5


def test_gaussian_has_the_moments_of_the_data_and_its_density(images, tmp_path):
    method, variables = fitted(tmp_path, model__kind="gaussian")
    flat = images[0].reshape(300, -1) / 255
    mean, covariance = flat.mean(0), np.cov(flat.T, bias=True) + RIDGE * np.eye(SIDE**2)
    factor = np.asarray(variables.collections["pixels"]["factor"][0], np.float64)
    np.testing.assert_allclose(variables.collections["pixels"]["mean"][0], mean, atol=1e-6)
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=1e-7)
    exact = stats.multivariate_normal(mean, covariance).logpdf(flat[:9])
    some = images[0][:9].astype(np.float32) / 255
    np.testing.assert_allclose(method.log_prob(variables, some, {}), exact, rtol=1e-4)
    assert not method.discrete
    # Clipping aside: deviations at a small temperature, scaled back, have the covariance.
    keys = randomness.image_keys(np.arange(4000))
    away = (np.asarray(method.sample(variables, keys, {}, 0.01)).reshape(4000, -1) - mean)[:, 1:SIDE] / 0.01
    np.testing.assert_allclose(np.cov(away.T), covariance[1:SIDE, 1:SIDE], atol=6 * covariance.max() / np.sqrt(4000))
    clipped = method.sample(variables, keys[:50], {}, 3.0)
    assert clipped.min() == 0.0 and clipped.max() == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uniform", "marginal", "gaussian"])
def test_eight_devices_fit_what_one_does_and_a_seed_draws_its_image_beside_any(kind, tmp_path):
    found = []
    for devices in (1, 8):
        program = build(shrunk("random_digits", tmp_path, mesh__devices=devices, model__kind=kind))
        state = program.fit(program.init())[0] if program.method.fit else program.init()
        draw = sampler(program.method, mesh.make(devices)).sample
        seeds = range(9) if devices == 1 else range(8, -1, -1)
        found.append((jax.device_get(state), draw(variables_of(program.method, state), seeds)))
    for one, eight in zip(jax.tree.leaves(found[0][0]), jax.tree.leaves(found[1][0]), strict=True):
        np.testing.assert_array_equal(one, eight)
    assert np.abs(found[0][1].astype(int) - found[1][1][::-1]).max() <= 1


def test_verbs_work_or_refuse_in_one_line(tmp_path, capsys):
    run = tmp_path / "run"
    config = shrunk("random_digits", tmp_path, model__condition="label")
    train(config, run)
    first = jax.device_get(gen_jax.load(run).state)
    train(config, run)  # already done
    jax.tree.map(np.testing.assert_array_equal, first, jax.device_get(gen_jax.load(run).state))
    assert int(first.step) == 1 and (run / "samples/step_000001.png").exists()
    assert main(["sample", str(run), "--seeds=0-3", "--condition.label=2"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), "--extractor=random", "--seeds=1", "--images=20"]) == 0
    scores = {record["metric"]: record["value"] for record in json.loads(capsys.readouterr().out)}
    # 64 shown in training of 256 levels: hardly a test pixel has a level that its pixel had in the 7 of its class.
    assert 8.0 < scores["bits_per_dim"] < 8 + math.log2(10) and "frechet_distance" not in scores
    for verb, words in (("reconstruct", "has no encoder"), ("interpolate", "no latent space")):
        assert main([verb, str(run)]) == 2
        line = capsys.readouterr().err
        assert words in line and line.count("\n") == 1


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"model__kind": "gaussian", "data__image_size": 72}, "images of 72x72x1 would need 26,873,856 numbers"),
        (
            {"model__condition": "label", "data__image_size": 96},
            "would need 23,592,960 numbers, 16,777,216 are",
        ),
        ({"model__kind": "uniform", "model__condition": "label"}, "kind=uniform is the same for all"),
    ],
)
def test_what_cannot_be_counted_is_refused(overrides, message, tmp_path):
    with pytest.raises(InputError, match=message):
        build(shrunk("random_digits", tmp_path, **overrides))
