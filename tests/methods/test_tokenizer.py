"""Tokenizers: one interface whatever the quantiser, what each gradient and weight is about, and what is refused."""

import json

import jax
import numpy as np
import pytest
from scipy import stats
from shrunk import each, run_of, shrunk, trained

import gen_jax
from gen_jax.cli.main import main
from gen_jax.errors import InputError
from gen_jax.method import variables_of
from gen_jax.program import build

SGD = {"optimizer__name": "sgd", "optimizer__b1": 0.0, "optimizer__learning_rate": 1e-4}
CHEAP = {"model__encoder__blocks": 0, "model__decoder__blocks": 0}


def updated(config, count=1):
    """The Program, its State after some updates, and the last one's metrics."""
    program = build(config)
    state = program.init()
    for _, feed in zip(range(count), program.feeds(0), strict=False):
        state, metrics = program.update(state, feed, (None,))
    return program, state, {name: float(m.total[0] / m.count[0]) for name, m in metrics.items()}


@pytest.mark.parametrize("name", each(["vqvae_mnist", "fsq_emoji", "dvae_emoji"]))
def test_codes_are_ints_of_the_vocabulary_and_all_there_is_to_an_image(name, shared):
    run = gen_jax.load(run_of(name, shared))
    images = run.dataset("test").gather(np.arange(5))["image"]
    codes, vocabulary = run.encode(images), run.method.vocabulary
    assert vocabulary == (16, (images.shape[1] // 4, images.shape[2] // 4))
    assert codes.dtype == np.int32 and codes.shape == (5, *vocabulary.grid)
    assert codes.min() >= 0 and codes.max() < vocabulary.size and len(np.unique(codes)) > 1
    np.testing.assert_array_equal(run.decode(codes), run.reconstruct(images))
    other = run.decode((codes + 1) % vocabulary.size)
    assert other.shape == images.shape and np.abs(other.astype(int) - run.decode(codes)).max() > 0
    assert run.method.sample is None and run.method.latents is None


def test_use_of_codes_is_logged_and_evaluated(shared, capsys):
    path = run_of("vqvae_mnist", shared)
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        assert set(row) == {"step", "loss", "reconstruction", "commitment", "codes_used", "perplexity"}
        assert row["loss"] == pytest.approx(row["reconstruction"] + 0.25 * row["commitment"], rel=1e-5)
        assert 1 / 16 <= row["codes_used"] <= 1 and 1 <= row["perplexity"] <= 16 * row["codes_used"] + 1e-4
    run = gen_jax.load(path)
    records = {r["metric"]: r for r in run.evaluate()}
    test = run.dataset("test")
    counts = np.bincount(run.encode(test.gather(np.arange(test.spec.size))["image"]).ravel(), minlength=16)
    assert records["code_usage"]["value"] == (counts > 0).mean()
    assert records["code_perplexity"]["value"] == pytest.approx(np.exp(stats.entropy(counts)), rel=1e-5)
    assert {"reconstruction_psnr", "reconstruction_ssim"} <= set(records)
    capsys.readouterr()
    assert main(["sample", str(path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: this model draws no samples"


def test_parts_of_a_batch_move_the_codebook_as_the_whole_batch_does(tmp_path):
    """But for restarts, which look at the last part."""
    given = {"model__restart": 0.0, "model__estimator": "straight_through", **SGD, **CHEAP}
    (_, one, a), (_, two, b) = (updated(shrunk("vqvae_mnist", tmp_path, train__accumulate=n, **given)) for n in (1, 2))
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5 * np.abs(x).max())
    assert a == pytest.approx(b, rel=1e-5)


def test_weight_of_the_commitment_is_the_encoders_alone(tmp_path):
    """Not the codebook's, as in the code of VQGAN, and not the decoder's."""
    states = [
        updated(shrunk("vqvae_mnist", tmp_path, objective__commitment_weight=w, **SGD, **CHEAP))[1] for w in (0, 1)
    ]
    encoders = (jax.tree.leaves(state.params["encoder"]) for state in states)
    assert all((np.asarray(x) != y).any() for x, y in zip(*encoders, strict=True))
    for x, y in zip(*(jax.tree.leaves((s.params["decoder"], s.collections)) for s in states), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_codebook_is_drawn_from_the_first_batch(tmp_path):
    program, state, _ = updated(shrunk("vqvae_mnist", tmp_path, **CHEAP))
    first = program.init().collections["codebook"]["codes"]
    assert np.abs(np.asarray(state.collections["codebook"]["codes"]) - first).min(0).max() > 1e-3
    images = program.dataset.gather(np.arange(60))["image"] / np.float32(255)
    used = lambda state: len(np.unique(program.method.encode(variables_of(program.method, state), images, {})))
    assert used(state) >= 12 and used(state) > used(program.init())


def test_gumbel_pays_between_nothing_and_log_k_a_place(tmp_path):
    _, state, metrics = updated(shrunk("dvae_emoji", tmp_path, objective__kl_weight=0.5, **CHEAP))
    assert 0 < metrics["kl"] < 64 * np.log(16)
    assert metrics["loss"] == pytest.approx(metrics["reconstruction"] + 0.5 * metrics["kl"], rel=1e-5)
    assert state.collections == {"codebook": {}, "frozen": {}}


@pytest.mark.parametrize("kind", ["bernoulli", "discretized_logistic"])
def test_likelihoods_are_in_nats(kind, tmp_path):
    """The loss of constant codes and a decoder at its bias, in closed form: that of the mean image's value."""
    binary = {"data__binarize": "static"} if kind == "bernoulli" else {}
    given = {"objective__reconstruction": kind, "model__quantizer": "fsq", **binary, **CHEAP}
    program = build(shrunk("vqvae_mnist", tmp_path, **given))
    state = program.init()
    feed = next(program.feeds(0))
    before = jax.device_get(state.params)  # the update takes the state
    assert ("likelihood" in before) == (kind != "bernoulli")
    _, metrics = program.update(state, feed, (None,))
    nats = float(metrics["reconstruction"].total[0] / metrics["reconstruction"].count[0]) / 784
    # Random pixels: log 2 each where binary; of 256 levels log 256, and somewhat more by a logistic that is too narrow.
    assert 0.69 < nats < 0.75 if kind == "bernoulli" else 5.5 < nats < 8.5


def test_what_does_not_go_together_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"objective.reconstruction=bernoulli: the pixels of npz are not binary"):
        build(shrunk("vqvae_mnist", tmp_path, objective__reconstruction="bernoulli"))
    with pytest.raises(InputError, match=r"data.image_size=28: must be a multiple of model.factor=8"):
        build(shrunk("vqvae_mnist", tmp_path, model__factor=8))
    with pytest.raises(InputError, match=r"model.factor=6: must be a power of two"):
        build(shrunk("vqvae_mnist", tmp_path, model__factor=6))
    with pytest.raises(InputError, match=r"model.levels=\(2, 8\): must be >= 3"):
        build(shrunk("fsq_emoji", tmp_path, model__levels="2,8"))
    for levels in ("()", "64,64,64"):
        with pytest.raises(InputError, match=r"model.levels=.*: their product, the number of codes, is 3 to 65,536"):
            build(shrunk("fsq_emoji", tmp_path, model__levels=levels))
    with pytest.raises(InputError, match=r"model.quantizer=lfq: no such choice; .*fsq, gumbel, vq"):
        build(shrunk("fsq_emoji", tmp_path, model__quantizer="lfq"))


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A folder with the run of a classifier of 16x16 images, and what makes a tokenizer look through it."""
    folder = tmp_path_factory.mktemp("judged")
    trained(shrunk("classifier", folder, train__steps=1), folder / "classifier")
    images = {"data__path": folder / "16x16x1.npz", "data__image_size": 16}
    seen_by = {"perceptual__run": folder / "classifier", "objective__perceptual_weight": 10.0}
    return folder, images, seen_by


def test_perceptual_term_is_the_distance_of_features(judged):
    folder, images, seen_by = judged
    given = {"model__quantizer": "fsq", "optimizer__average": 100.0, **SGD, **CHEAP, **images}
    program, state, metrics = updated(shrunk("vqvae_mnist", folder, **given, **seen_by))
    assert metrics["loss"] == pytest.approx(metrics["reconstruction"] + 10.0 * metrics["perceptual"], rel=1e-5)
    # At the first State a training batch is reconstructed as `reconstruct` does it: fsq knows no noise.
    first = variables_of(program.method, program.init(), average=False)
    x = program.dataset.batch(0, np.arange(64))["image"] / np.float32(255)
    again = program.method.reconstruct(first, x, {})
    classifier = gen_jax.load(folder / "classifier")
    theirs = jax.device_get(classifier.variables)
    a, b = (classifier.method.features(theirs, y)["features"] for y in (x, again))
    assert metrics["perceptual"] == pytest.approx(float(((a - b) ** 2).sum(-1).mean()), rel=1e-4)
    # It moves both networks, not the classifier, which coding does without.
    _, without, _ = updated(shrunk("vqvae_mnist", folder, **given))
    for name in ("encoder", "decoder"):
        pairs = zip(jax.tree.leaves(state.params[name]), jax.tree.leaves(without.params[name]), strict=True)
        assert all((np.asarray(x) != y).any() for x, y in pairs)
    kept = state.collections["frozen"]["perceptual"]
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(kept), theirs)
    assert set(state.average.collections) == {"codebook"} and set(state.average.params) == {"encoder", "decoder"}


def test_perceptual_runs_that_cannot_serve_are_refused_by_name(judged, shared):
    folder, images, seen_by = judged
    cases = [
        ({"objective__perceptual_weight": 1.0, **images}, "set perceptual.run to a classifier's run"),
        ({**seen_by, **images, "objective__perceptual_weight": 0.0}, "set objective.perceptual_weight"),
        ({**seen_by}, "it classifies images of another shape"),
        ({**seen_by, **images, "perceptual__run": run_of("vae_digits", shared)}, "it cannot classify"),
        ({**seen_by, **images, "perceptual__run": folder}, "is no run|no run in"),
    ]
    for given, words in cases:
        with pytest.raises(InputError, match=words):
            build(shrunk("vqvae_mnist", folder, **CHEAP, **given))
