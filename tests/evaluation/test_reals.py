"""Real images beside samples: black and white where the samples are."""

import numpy as np
import pytest
from shrunk import shrunk

import gen_jax
from gen_jax import data
from gen_jax.evaluation.during_training import grounds
from gen_jax.evaluation.reals import beside
from gen_jax.method import Method
from gen_jax.runtime import mesh
from gen_jax.train import train

BLACK_AND_WHITE = Method(init=None, binary=True)


def digits(binarize="dynamic"):
    return data.make(name="digits", batch_size=8, image_size=8, binarize=binarize)


def test_grey_samples_stand_beside_the_images_as_they_are_stored():
    dataset = digits()
    assert beside(Method(init=None), dataset, "dynamic") is dataset
    assert beside(BLACK_AND_WHITE, dataset, "none") is dataset


@pytest.mark.parametrize("binarize", ["dynamic", "static", "threshold"])
def test_black_and_white_samples_stand_beside_black_and_white_images(binarize):
    stored, index = digits(binarize), np.arange(1000)
    real = beside(BLACK_AND_WHITE, stored, binarize)
    images = real.gather(index)["image"]
    assert set(np.unique(images)) == {0, 255}
    assert np.array_equal(images[5:9], real.gather(index[5:9])["image"]), "whatever an image is fetched beside"
    grey = stored.gather(index)["image"] / 255
    if binarize == "threshold":
        assert np.array_equal(images / 255, grey >= 128 / 255)
    else:  # each pixel white as often as it is bright: a mean of coins, five standard errors wide
        error = np.sqrt((grey * (1 - grey)).sum(0)) / len(grey)
        assert (np.abs(images.mean(0) / 255 - grey.mean(0)) <= 5 * error).all()
    assert real.fingerprint() != stored.fingerprint() and binarize in real.name


def test_static_pixels_are_those_that_training_sees():
    from gen_jax.data.dataset import seen

    stored, index = digits("static"), np.arange(20)
    trained_on = seen(stored, {**stored.gather(index), "index": index}, gen_jax.randomness.stream(7, 0))["image"]
    assert np.array_equal(beside(BLACK_AND_WHITE, stored, "static").gather(index)["image"], trained_on)


def test_a_run_that_draws_black_and_white_is_scored_against_black_and_white(tmp_path):
    names = {"evaluate__extractor": "pixels", "evaluate__best": "precision"}
    config = shrunk("random_digits", tmp_path, data__binarize="threshold", **names)
    train(config, tmp_path / "run")
    run = gen_jax.load(tmp_path / "run")
    assert set(np.unique(run.sample(range(8)))) <= {0, 255} and run.method.binary
    found = {record["metric"]: record for record in run.evaluate(extractor="random", images=8, seeds=1)}
    assert "threshold" in found["precision"]["protocol"]["reference"]
    ground = grounds(config, run.method, run.dataset("train"), tmp_path / "run", mesh.local(run.mesh))
    assert set(np.unique(ground.train.gather(np.arange(8))["image"])) == {0, 255}
    assert set(np.unique(ground.reference.features)) == {0.0, 1.0}
