"""The classifier as a Method: what its step descends, what it says, what it refuses."""

import jax
import numpy as np
import pytest
from shrunk import shrunk

from gen_jax.errors import InputError
from gen_jax.method import variables_of
from gen_jax.program import build


def test_loss_is_the_negative_log_probability_of_the_label(tmp_path):
    program = build(shrunk("classifier", tmp_path))
    feed = next(program.feeds(0))
    before = program.init()
    variables = jax.device_get(variables_of(program.method, before))
    _, metrics = program.update(before, feed, program.variants(0, 1))
    index = np.asarray(feed.batches["index"])[0, 0]
    batch = program.dataset.gather(index)
    seen = program.method.features(variables, batch["image"].astype(np.float32) / 255.0)
    labels = batch["condition"]["label"]
    chosen = np.asarray(seen["probabilities"])[np.arange(len(labels)), labels]
    assert float(metrics["loss"].total[0] / metrics["loss"].count[0]) == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    right = (np.asarray(seen["probabilities"]).argmax(1) == labels).mean()
    assert float(metrics["accuracy"].total[0] / metrics["accuracy"].count[0]) == pytest.approx(right)


def test_features_are_not_negative_and_do_not_depend_on_the_batch(tmp_path):
    program = build(shrunk("classifier", tmp_path))
    variables = variables_of(program.method, program.init())
    images = np.random.default_rng(0).random((6, 16, 16, 1), np.float32)
    whole = program.method.features(variables, images)
    assert whole["features"].shape == (6, 8) and whole["probabilities"].shape == (6, program.dataset.spec.classes)
    assert np.asarray(whole["features"]).min() >= 0.0
    np.testing.assert_allclose(np.asarray(whole["probabilities"]).sum(1), 1.0, rtol=1e-5)
    alone = program.method.features(variables, images[2:3])
    np.testing.assert_allclose(alone["features"][0], whole["features"][2], rtol=1e-5, atol=1e-6)


def test_data_without_labels_is_refused(tmp_path):
    np.savez(tmp_path / "bare.npz", images=np.zeros((80, 16, 16, 1), np.uint8))
    with pytest.raises(InputError, match="has no labels to learn"):
        build(shrunk("classifier", tmp_path, data__path=tmp_path / "bare.npz"))
