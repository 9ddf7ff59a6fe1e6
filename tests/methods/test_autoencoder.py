"""The autoencoder against PCA, its mixture against scikit-learn's, and what becomes of both when a run is killed."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from shrunk import shrunk
from shrunk import trained as train
from sklearn.mixture import GaussianMixture

import gen_jax
from gen_jax import randomness
from gen_jax.cli.main import main
from gen_jax.data.dataset import floats, seen
from gen_jax.errors import InputError
from gen_jax.method import Variables, variables_of
from gen_jax.program import build

SMALL = {"model__components": 3, "model__latent_size": 2, "optimizer__learning_rate": "1e-3"}


def assert_same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


def test_linear_autoencoder_reaches_the_error_of_pca(tmp_path):
    """64 images of 16 pixels, in two directions farther from their mean than in the other 14."""
    rng = np.random.default_rng(0)
    signs = np.sign(rng.normal(size=(64, 16)))
    images = 128 + (signs * [90, 70, *[20] * 14]) @ np.linalg.qr(rng.normal(size=(16, 16)))[0]
    images = np.rint(images).astype(np.uint8).reshape(64, 4, 4, 1)
    np.savez(tmp_path / "few.npz", x_train=images, x_test=images)
    config = shrunk(
        "autoencoder_digits",
        tmp_path,
        data__path=tmp_path / "few.npz",
        model__latent_size=2,
        model__components=0,
        model__encoder__widths="()",
        model__decoder__widths="()",
        optimizer__learning_rate="{'kind': 'cosine', 'start': 3e-2, 'end': 0.0}",
        optimizer__b2=0.9,
        train__steps=1000,
    )
    program = build(config)
    state = program.init()
    for feed in program.feeds(0):
        state, metrics = program.update(state, feed, (None,))
    flat = images.reshape(64, -1) / 255
    pca = (np.linalg.svd(flat - flat.mean(0), compute_uv=False)[2:] ** 2).sum() / 64
    assert float(metrics["loss"].total[0] / metrics["loss"].count[0]) == pytest.approx(pca, rel=1e-4)
    seen = images.astype(np.float32) / 255
    away = seen - program.method.reconstruct(variables_of(program.method, state), seen, {})
    assert float((away**2).sum((1, 2, 3)).mean()) == pytest.approx(pca, rel=1e-4)  # no pixel is near 0 or 1


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A Program of 3 components that keeps an average, and its State after the last step, before and after the fit."""
    folder = tmp_path_factory.mktemp("program")
    program = build(shrunk("autoencoder_digits", folder, optimizer__average=1000.0, **SMALL))
    state = program.init()
    for step, feed in enumerate(program.feeds(0)):
        state, _ = program.update(state, feed, program.variants(step, 1))
    return program, state, *program.fit(state)


def encoded(program, variables):
    """The latents of every training image."""
    images = np.concatenate([batch["image"][batch["mask"] > 0] for batch in program.dataset.sequential(50)])
    return np.asarray(program.method.encode(variables, images.astype(np.float32) / 255, {}), np.float64)


def test_until_it_is_fitted_the_mixture_is_one_standard_normal(program):
    program, before, *_ = program
    drawn = program.method.latents(variables_of(program.method, before), randomness.image_keys(np.arange(2000)))
    assert stats.kstest(np.asarray(drawn).ravel(), "norm").pvalue > 0.001
    assert abs(np.corrcoef(np.asarray(drawn).T)[0, 1]) < 0.1


def test_mixture_is_that_of_scikit_learn(program):
    """The stored density is scikit-learn's, for averaged and for raw weights, each of its own latents."""
    program, before, after, metrics = program
    key = jax.random.fold_in(randomness.stream(0, randomness.TRAIN), 6)
    seed = int(jax.random.bits(key, dtype=jnp.uint32))
    for average in (True, False):
        variables = variables_of(program.method, after, average)
        latents = encoded(program, variables_of(program.method, before, average))
        theirs = GaussianMixture(3, init_params="k-means++", random_state=seed).fit(latents)
        mixture = variables.collections["mixture"]
        parts = zip(*(np.asarray(mixture[n], np.float64) for n in ("weights", "means", "factors")), strict=True)
        density = sum(w * stats.multivariate_normal(m, f @ f.T).pdf(latents) for w, m, f in parts)
        np.testing.assert_allclose(np.log(density), theirs.score_samples(latents), atol=1e-3)
        if average:
            logged = float(metrics["latent_log_density"].total[0] / metrics["latent_log_density"].count[0])
            assert logged == pytest.approx(theirs.score(latents), abs=1e-3)
    raw, averaged = (variables_of(program.method, after, a).collections["mixture"]["means"] for a in (False, True))
    assert not np.allclose(raw, averaged)
    assert_same(before.params, after.params)
    assert_same(before.average.params, after.average.params)


def test_fit_is_a_function_of_the_key(program):
    program, before, after, _ = program
    assert_same(program.fit(before)[0], after)
    again, other = (program.method.fit(before, program.dataset, jax.random.key(s))[0] for s in (1, 2))
    means = [np.asarray(state.collections["mixture"]["means"]) for state in (again, other)]
    assert not np.array_equal(*means)


def test_latents_have_the_moments_of_each_component(program):
    program, _, after, _ = program
    # Three Gaussians so far apart that each latent says which one it is from.
    mixture = {
        "weights": np.array([0.5, 0.3, 0.2]),
        "means": np.array([[100.0, 0.0], [0.0, 0.0], [-100.0, 50.0]]),
        "factors": np.array([[[1.0, 0.0], [2.0, 0.5]], [[0.1, 0.0], [0.0, 3.0]], [[2.0, 0.0], [-1.0, 1.0]]]),
    }
    variables = Variables(after.params, {"mixture": jax.tree.map(jnp.float32, mixture)})
    keys = randomness.image_keys(np.arange(6000))
    drawn = np.asarray(jax.jit(program.method.latents)(variables, keys))
    which = np.abs(drawn[:, None] - mixture["means"]).sum(-1).argmin(1)
    np.testing.assert_allclose(np.bincount(which) / 6000, mixture["weights"], atol=0.03)
    for k in range(3):
        own = drawn[which == k]
        covariance = mixture["factors"][k] @ mixture["factors"][k].T
        error = 5 * np.sqrt(covariance.diagonal().max() / len(own))
        np.testing.assert_allclose(own.mean(0), mixture["means"][k], atol=error)
        np.testing.assert_allclose(np.cov(own.T), covariance, atol=0.15 * covariance.max())
    # A temperature moves each draw along the line to the mean of its own component.
    sample = lambda t: program.method.sample(variables, keys[:20], {}, t)
    towards = mixture["means"][which[:20]] + 0.25 * (drawn[:20] - mixture["means"][which[:20]])
    np.testing.assert_allclose(sample(0.25), program.method.decode(variables, jnp.float32(towards), {}), atol=1e-4)


def test_mixture_is_fitted_to_images_as_a_step_sees_them(tmp_path):
    """Here binarised, each by its own index."""
    config = shrunk("autoencoder_digits", tmp_path, data__binarize="static", **SMALL | {"model__components": 1})
    program = build(config)
    state = program.init()
    after, _ = program.fit(state)
    (batch,) = program.dataset.sequential(72)
    images = floats(seen(program.dataset, batch, jax.random.key(0))["image"])
    assert set(np.unique(images)) == {0.0, 1.0}
    latents = np.asarray(program.method.encode(variables_of(program.method, state), images, {}), np.float64)
    mixture = after.collections["mixture"]
    np.testing.assert_allclose(mixture["means"][0], latents.mean(0), atol=1e-5)
    covariance = np.asarray(mixture["factors"][0] @ mixture["factors"][0].T)
    np.testing.assert_allclose(covariance, np.cov(latents.T, bias=True), atol=1e-5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of three steps with a checkpoint after each."""
    root = tmp_path_factory.mktemp("runs")
    three = {"train__steps": 3, "train__checkpoint_every": 1}
    config = shrunk("autoencoder_digits", root, optimizer__average=1000.0, **three, **SMALL)
    train(config, root / "run")
    return root, config


@pytest.mark.slow
def test_run_killed_before_it_was_saved_ends_with_the_same_mixture(runs):
    """The last checkpoint before the end knows no mixture; one of the end is not fitted again."""
    root, config = runs
    state = gen_jax.load(root / "run").state
    rows = (root / "run/metrics.jsonl").read_bytes()
    assert json.loads(rows.splitlines()[-1]).keys() == {"step", "loss", "latent_log_density"}
    for last, name in ((2, "before"), (3, "after")):
        shutil.copytree(root / "run", root / name)
        for path in (root / name / "checkpoints").iterdir():
            if path.name.isdigit() and int(path.name) > last:
                shutil.rmtree(path)
        (root / name / "DONE").unlink()
        unfitted = np.asarray(gen_jax.load(root / name).state.collections["mixture"]["means"]) == 0
        assert unfitted.all() == (last == 2)
        assert_same(train(config, root / name).state, state)
        assert (root / name / "metrics.jsonl").read_bytes() == rows and (root / name / "DONE").exists()


def test_longer_run_is_fitted_anew(runs, tmp_path):
    root, config = runs
    longer = shrunk("autoencoder_digits", root, train__steps=4, optimizer__average=1000.0, **SMALL)
    shutil.copytree(root / "run", tmp_path / "extended")
    extended = train(longer, tmp_path / "extended").state
    assert_same(extended, train(longer, tmp_path / "straight").state)


def test_verbs(runs, capsys):
    root, _ = runs
    run = str(root / "run")
    for verb in ("sample", "reconstruct", "interpolate"):
        assert main([verb, run, *(["--frames=2"] if verb == "interpolate" else [])]) == 0
    capsys.readouterr()
    assert main(["evaluate", run, "--extractor=random", "--seeds=1", "--images=20"]) == 0
    found = {record["metric"] for record in json.loads(capsys.readouterr().out)}
    assert {"reconstruction_psnr", "reconstruction_ssim", "precision"} <= found and "nll" not in found


@pytest.mark.slow
def test_convolutions_and_labels(tmp_path):
    """Both networks hear the label; without components there is nothing to fit."""
    config = shrunk("autoencoder_fashion_mnist", tmp_path, model__condition="label", model__components=0)
    program = build(config)
    assert program.method.fit is None
    variables = variables_of(program.method, program.init())
    for player in ("encoder", "decoder"):
        variables.params[player]["Embed_0"]["label"]["embedding"] += jnp.arange(10.0)[:, None]
    images = jnp.zeros((2, 28, 28, 1))
    latents = program.method.encode(variables, images, {"label": jnp.array([1, 2])})
    assert latents.shape == (2, 4) and not np.allclose(latents[0], latents[1])
    one, two = program.method.decode(variables, latents[:1].repeat(2, 0), {"label": jnp.array([1, 2])})
    assert one.shape == (28, 28, 1) and not np.allclose(one, two)
    assert set(variables.params["encoder"]) >= {"latents"} and "log_std" not in variables.params["encoder"]


def test_more_components_than_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="model.components=100: npz has 72 training images"):
        build(shrunk("autoencoder_digits", tmp_path, model__components=100))
