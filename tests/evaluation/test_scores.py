"""Scores of samples against real images: what a record says, what is refused, what repeats."""

import numpy as np
import pytest

from gen_jax import data
from gen_jax.evaluation import extractors, scores
from gen_jax.runtime import mesh

# The kernel distance takes seconds: one test asks for it.
CHEAP = tuple(group for group in scores.GROUPS if group != "kernel")


def generated(ground, draw, count, groups=CHEAP, **options):
    return scores.generated(ground._replace(count=count), draw, groups=groups, **options)


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    import os

    os.environ["GEN_JAX_CACHE"], before = str(tmp_path_factory.mktemp("cache")), os.environ["GEN_JAX_CACHE"]
    digits = [data.make(name="digits", batch_size=8, image_size=8, split=split) for split in ("train", "test")]
    yield scores.prepare(extractors.make("pixels", digits[0], None, None), *digits, mesh.make(1), groups=CHEAP)
    os.environ["GEN_JAX_CACHE"] = before


def by_name(records):
    return {record["metric"]: record for record in records}


def test_training_images_drawn_as_samples_get_perfect_scores(ground):
    reals = ground.train.gather(np.arange(ground.train.spec.size))["image"]
    found = by_name(generated(ground, lambda seeds: reals[list(seeds)], count=len(reals)))
    assert found["fd_pixels"]["value"] == pytest.approx(0.0, abs=1e-9)
    for name in ("precision", "recall", "coverage"):
        assert found[name]["value"] == 1.0
    assert found["copies"]["value"] == len(reals), "and are found out as copies"
    assert found["lab_wasserstein"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert found["lbp_similarity"]["value"] == pytest.approx(1.0)
    assert found["fd_pixels"]["floor"] > 0.0 and found["precision"]["floor"] < 1.0


def test_noise_scores_worse_than_real_images(ground):
    draw = lambda seeds: np.random.default_rng(seeds[0]).integers(0, 256, (len(seeds), 8, 8, 1), np.uint8)  # noqa: E731
    found = by_name(generated(ground, draw, count=200, seeds=2))
    for name, record in found.items():
        if record["value"] is None or name in ("vendi", "mean_pairwise_distance", "copies", "share_closer"):
            continue
        lower = scores.better(name) == "lower"
        worse = record["value"] > record["floor"] if lower else record["value"] < record["floor"]
        assert worse, name
    assert found["precision"]["spread"] >= 0.0 and len(found["precision"]["values"]) == 2


def test_protocol_says_how(ground):
    reals = ground.train.gather(np.arange(200))["image"]
    draw = lambda seeds: reals[: len(seeds)]  # noqa: E731
    record = by_name(generated(ground, draw, seed=5, seeds=2, count=100))["fd_pixels"]
    protocol = record["protocol"]
    assert protocol["n_generated"] == 100 and protocol["n_reference"] == ground.train.spec.size
    assert protocol["reference"] == "digits train" and protocol["reference_sha256"] == ground.train.fingerprint()
    assert protocol["extractor"] == "pixels" and protocol["sampling_seeds"] == ["5-104", "105-204"]
    whole = scores.record(record, 7, "average", "final")
    assert whole["protocol"]["code"].startswith("0.") and whole["protocol"]["weights"] == "average"


def test_too_few_samples_are_refused_with_the_reason_and_deny_no_other_score(ground):
    reals = ground.train.gather(np.arange(20))["image"]
    found = by_name(generated(ground, lambda seeds: reals[: len(seeds)], count=20))
    assert found["fd_pixels"]["value"] is None and "64" in found["fd_pixels"]["refused"]
    assert found["precision"]["value"] is not None and "refused" not in found["precision"]


def test_constant_samples_are_no_number(ground):
    draw = lambda seeds: np.full((len(seeds), 8, 8, 1), 7, np.uint8)  # noqa: E731
    found = by_name(generated(ground, draw, count=100))
    for name in ("precision", "density", "lbp_similarity"):
        assert found[name]["value"] is None and found[name]["refused"], name
    assert found["mean_pairwise_distance"]["value"] == 0.0


def test_same_seed_same_numbers_bit_for_bit(ground):
    draw = lambda seeds: np.random.default_rng(seeds[0]).integers(0, 256, (len(seeds), 8, 8, 1), np.uint8)  # noqa: E731
    first, second = (generated(ground, draw, count=100, seed=3, groups=("frechet", "kernel")) for _ in range(2))
    assert first == second


def test_only_the_groups_that_were_asked_for(ground):
    reals = ground.train.gather(np.arange(100))["image"]
    found = generated(ground, lambda seeds: reals[: len(seeds)], count=100, groups=("diversity",))
    assert [record["metric"] for record in found] == ["mean_pairwise_distance"]


def test_which_way_is_better():
    assert {scores.better(name) for name in ("fd_classifier", "fid", "kd_random", "glcm_energy", "nll")} == {"lower"}
    assert {scores.better(name) for name in ("precision", "inception_score", "is_classifier", "elbo")} == {"higher"}
    assert {scores.better(name) for name in ("vendi", "label_entropy", "density")} == {"as real"}
    assert scores.better("kl") == scores.better("somebody's own") == ""


def test_refused_for_one_set_is_refused_for_all(ground):
    """The second set is constant: no mean is taken over what is left."""
    reals = ground.train.gather(np.arange(200))["image"]
    draw = lambda seeds: reals[: len(seeds)] * np.uint8(seeds[0] == 0)  # noqa: E731
    found = by_name(generated(ground, draw, count=100, seeds=2))
    assert found["precision"]["value"] is None and found["precision"]["refused"] and "spread" not in found["precision"]
    assert found["mean_pairwise_distance"]["value"] > 0.0


def test_floor_is_of_as_many_images_as_are_compared(ground):
    assert ground.count == len(ground.held_out.features) == 299
    digits = [data.make(name="digits", batch_size=8, image_size=8, split=split) for split in ("train", "test")]
    smaller = scores.prepare(ground.extractor, *digits, mesh.make(1), 100, ("frechet",))
    assert len(smaller.held_out.features) == 100
    larger = scores.prepare(ground.extractor, *digits, mesh.make(1), 1000, ("frechet",))
    assert len(larger.held_out.features) == 299 and larger.count == 1000
    reals = digits[0].gather(np.arange(1000))["image"]
    (record,) = scores.generated(larger, lambda seeds: reals, groups=("frechet",))
    assert record["protocol"]["n_floor"] == 299 and record["protocol"]["n_generated"] == 1000


@pytest.mark.parametrize("dead", [9, 10])
def test_many_dead_features_are_said_with_their_share(ground, capsys, dead):
    weights = np.random.default_rng(0).normal(size=(64, 20)).astype(np.float32) * (np.arange(20) >= dead)
    see = lambda _, images: {"features": images.reshape(len(images), 64) @ weights / 255}  # noqa: E731
    groups = ("frechet", "diversity")
    blind = extractors.Extractor("blind", see, (), {"dead": dead})
    ground = scores.prepare(blind, ground.train, ground.train, ground.mesh, 100, groups)
    reals = ground.train.gather(np.arange(100))["image"]
    found = by_name(generated(ground, lambda seeds: reals[: len(seeds)], count=100, groups=groups))
    warning = found["fd_blind"].get("warning", "")
    assert warning.startswith("10 of 20 features (50%) of extractor blind are dead") if dead == 10 else not warning
    assert capsys.readouterr().err == (f"warning: {warning}\n" if warning else "")
    assert "warning" not in found["mean_pairwise_distance"] and found["fd_blind"]["value"] > 0.0
