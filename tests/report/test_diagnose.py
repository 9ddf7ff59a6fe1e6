"""Every rule of diagnose, on rows that have the trouble and on rows that have not."""

import math
import re

import numpy as np
import pytest

from gen_jax.config import flatten, load, to_json
from gen_jax.report.diagnose import diagnose

RNG = np.random.default_rng(0)


def rows(count=100, **columns):
    """Rows of metrics.jsonl from columns: numbers, or arrays [count]."""
    return [
        {"step": 10 * (i + 1)} | {k: float(np.broadcast_to(v, (count,))[i]) for k, v in columns.items()}
        for i in range(count)
    ]


def noise(scale=1.0, count=100):
    return scale * RNG.normal(size=count)


def game(count=100, **changed):
    """A healthy game: both losses about log 2, logits close to each other."""
    healthy = {
        "d": 1.3 + noise(0.05, count),
        "g": 0.7 + noise(0.05, count),
        "real_logit": 0.4 + noise(0.05, count),
        "fake_logit": -0.3 + noise(0.05, count),
        "real_sign": 0.3,
    }
    return rows(count, **(healthy | changed))


def levels(*arguments):
    return {v.name: v.level for v in diagnose(*arguments)}


def sentence(name, *arguments):
    return next(v.sentence for v in diagnose(*arguments) if v.name == name)


def score(metric, value, step=100, **more):
    return {"metric": metric, "value": value, "step": step, **more}


def test_nothing_recorded_is_no_verdict():
    assert diagnose([], []) == []


def test_a_healthy_game_is_ok_throughout():
    assert levels(game()) == dict.fromkeys(("Finite numbers", "Discriminator", "Generator", "Oscillation"), "ok")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite(value):
    broken = game()
    broken[41]["g"] = value
    assert levels(broken) == {"Finite numbers": "bad"}  # nothing else can be said of such rows
    assert f"g is {value} at step 420" in sentence("Finite numbers", broken)
    assert levels(game(), [score("nll", None)])["Finite numbers"] == "watch"
    # A metric that refused its input has said why; that is no fault of the run.
    assert levels(game(), [score("ssim", None, refused="sides below 11")])["Finite numbers"] == "ok"


def test_discriminator_that_has_won():
    def level(gap, sign, d=0.01):
        return levels(game(real_logit=gap / 2, fake_logit=-gap / 2, real_sign=sign, d=d))["Discriminator"]

    assert [level(1, 1.0), level(7, 1.0), level(20, 1.0)] == ["ok", "watch", "bad"]
    # Both signs are needed: a critic that errs on one real image in four has not won.
    assert level(7, 0.5) == "ok"
    assert "20 above generated ones and 100% of the real images are called real: the discriminator has won" in sentence(
        "Discriminator", game(real_logit=10, fake_logit=-10, real_sign=1, d=0.0)
    )
    # The logits of a Wasserstein critic have no scale.
    assert "Discriminator" not in levels(game(real_logit=30, fake_logit=-30, real_sign=1, d=-60))


def test_generator_that_stands_still_or_falls_behind():
    assert levels(game(g=2.5))["Generator"] == "bad"
    widening = np.linspace(0.5, 8, 100)
    assert levels(game(real_logit=widening, fake_logit=0.0))["Generator"] == "watch"
    assert levels(game(real_logit=6.0, fake_logit=0.0))["Generator"] == "ok"
    assert "Generator" not in levels(game(count=10)), "too few rows for a trend"


def test_oscillation_needs_a_period():
    time = np.arange(100)
    assert levels(game(g=1 + 0.8 * np.sin(time / 2) + noise(0.1)))["Oscillation"] == "watch"
    assert "period of 1" in sentence("Oscillation", game(g=1 + 0.8 * np.sin(time / 2) + noise(0.1)))
    assert levels(game(g=1 + 0.05 * np.sin(time / 2)))["Oscillation"] == "ok", "a small swing does no harm"
    assert levels(game(g=1 + np.linspace(0, 3, 100) + noise(0.1)))["Oscillation"] == "ok", "a trend is no swing"
    bent = 1 + ((time - 75) / 10) ** 2
    assert levels(game(g=bent))["Oscillation"] == "ok", "nor is one that bends"
    swinging = 1 + np.linspace(-4, 4, 100) + 1.5 * np.sin(time / 2)
    assert levels(game(g=swinging))["Oscillation"] == "watch", "a trend does not hide a swing"


def test_noise_is_not_called_an_oscillation():
    alarms = sum(levels(game(g=1 + noise()))["Oscillation"] != "ok" for _ in range(200))
    assert alarms <= 2


def test_posterior_collapse():
    assert [levels(rows(kl=kl))["Posterior"] for kl in (20.0, 0.5, 0.01)] == ["ok", "watch", "bad"]
    # Only the end counts: warm-up starts with a large KL, training with a small one.
    assert levels(rows(kl=np.linspace(0, 20, 100)))["Posterior"] == "ok"


@pytest.mark.parametrize("real", ["floor", "of_real_images"])
def test_mode_collapse(real):
    def level(found, distance):
        records = [
            score("classes_found", found, **{real: 10}),
            score("mean_pairwise_distance", distance, **{real: 5.0}),
        ]
        return levels([], records)["Diversity"]

    assert level(10, 4.9) == "ok"
    assert level(9, 4.9) == level(10, 3.5) == "watch"
    assert level(3, 4.9) == level(10, 2.0) == level(9, 2.0) == "bad"
    assert levels([], [score("classes_found", 1)])["Diversity"] == "bad", "one class is collapse whatever the reals"


def test_the_last_record_of_a_metric_counts():
    records = [score("classes_found", 2, floor=10), score("classes_found", 10, step=200, floor=10)]
    assert levels([], records)["Diversity"] == "ok"


def test_a_whole_score_counts_before_a_quick_one():
    quick = score("classes_found", 2, floor=10, protocol={"quick": {"images": 1000}})
    assert levels([], [score("classes_found", 10, floor=10), quick])["Diversity"] == "ok"
    assert levels([], [quick])["Diversity"] == "bad"


def test_copying():
    def level(share, copies=0):
        return levels([], [score("share_closer", share), score("copies", copies)])["Copying"]

    assert [level(0.01), level(0.1), level(0.5), level(0.0, copies=1)] == ["ok", "watch", "bad", "bad"]
    assert "10.0% of the samples" in sentence("Copying", [], [score("share_closer", 0.1)])


def test_overfitting():
    training = rows(log_likelihood=-70.0, kl=20.0, loss=90.0)
    assert [levels(training, [score("elbo", e)])["Overfitting"] for e in (-91.0, -100.0, -130.0)] == [
        "ok",
        "watch",
        "bad",
    ]
    assert "-90 nats" in sentence("Overfitting", training, [score("elbo", -100.0)])
    assert "Overfitting" not in levels(training)


def test_still_improving_by_its_scores():
    def level(metric, first, second, spread=0.0):
        records = [score(metric, first, 100, spread=spread), score(metric, second, 200, spread=spread)]
        return levels([], records).get("Training length")

    assert level("fd_cnn", 20.0, 10.0) == "watch" and level("fd_cnn", 10.0, 20.0) == "ok"
    assert level("fd_cnn", 20.0, 19.5) == "ok", "less than 5 %"
    assert level("fd_cnn", 20.0, 10.0, spread=6.0) == "ok", "within the spread over seeds"
    assert level("elbo", -100.0, -90.0) == "watch" and level("elbo", -90.0, -100.0) == "ok"
    assert level("label_entropy", 1.0, 2.0) is None, "more is not better there"


def test_still_improving_by_its_loss():
    flat, falling = 90 + noise(0.5), 90 - np.linspace(0, 30, 100) + noise(0.5)
    assert levels(rows(loss=flat))["Training length"] == "ok"
    assert levels(rows(loss=falling))["Training length"] == "watch"
    assert "Training length" not in levels(game()), "the losses of a game say nothing here"
    false = sum(levels(rows(loss=90 + noise(3.0)))["Training length"] != "ok" for _ in range(100))
    assert false == 0


def test_in_a_relativistic_game_only_the_gap_counts():
    """All logits may lie on one side of 0 there: half of the real images `called fake` mean nothing."""
    config = {"objective.loss": "relativistic", "objective.r1_weight": 1.0}

    def verdict(gap):
        rows = game(real_logit=gap - 9, fake_logit=-9.0, real_sign=-1.0, d=0.01)
        return next(v for v in diagnose(rows, [], config) if v.name == "Discriminator")

    assert [verdict(gap).level for gap in (1, 7, 20)] == ["ok", "watch", "bad"]
    assert all("the sign of a logit says nothing there" in verdict(gap).sentence for gap in (1, 20))
    assert "called real" not in verdict(20).sentence


def test_precision_recall_and_coverage_are_held_against_those_of_real_images():
    def level(metric, value, **more):
        (name,) = levels([], [score(metric, value, floor=0.91, **more)]).items() - {("Finite numbers", "ok")}
        return name

    assert level("precision", 0.46) == ("Fidelity", "watch") and level("precision", 0.9) == ("Fidelity", "ok")
    assert level("precision", 0.4) == ("Fidelity", "bad")
    for metric in ("recall", "coverage"):
        assert [level(metric, value) for value in (0.9, 0.6, 0.1)] == [
            ("Coverage", "ok"),
            ("Coverage", "watch"),
            ("Coverage", "bad"),
        ]
    assert level("recall", 0.7, spread=0.02) == ("Coverage", "ok"), "what the spread can explain is no trouble"
    assert levels([], [score("precision", 0.1)]) == {"Finite numbers": "ok"}, "without a floor nothing can be said"


def test_grey_is_not_called_copying():
    """Samples of a model that was hardly trained: near to everything, and all alike."""
    grey = [score("share_closer", 0.97), score("copies", 0), score("mean_pairwise_distance", 0.3, floor=5.4)]
    assert levels([], grey) == {"Finite numbers": "ok", "Diversity": "bad"}
    assert levels([], [*grey, score("copies", 3)])["Copying"] == "bad", "unless they equal a training image"
    various = [score("share_closer", 0.97), score("mean_pairwise_distance", 5.0, floor=5.4)]
    assert levels([], various)["Copying"] == "bad"


TROUBLE = [
    score("classes_found", 2, floor=10),
    score("precision", 0.1, floor=0.9),
    score("recall", 0.1, floor=0.9),
    score("share_closer", 0.4),
    score("copies", 2),
    score("elbo", -300.0),
    score("nll", None),
]
GAMES = [
    game(g=1.0, real_logit=30.0, fake_logit=0.0, real_sign=1.0),
    game(g=1 + 0.8 * np.sin(np.arange(100) / 2), real_logit=np.linspace(0, 4, 100), fake_logit=0.0),
]
BOUNDS = [rows(kl=0.01, log_likelihood=-80.0, loss=90 - np.linspace(0, 30, 100))]


@pytest.mark.parametrize(
    ("name", "trouble"), [("gan_digits", GAMES), ("vae_digits", BOUNDS), ("forest_digits", [rows(count=1, trees=1)])]
)
def test_only_fields_of_the_config_are_advised(name, trouble):
    config = flatten(to_json(load(name)))
    broken = [{"step": 1, "loss": math.nan}]
    told = [v.sentence for rows in [*trouble, broken] for v in diagnose(rows, TROUBLE, config) if v.level != "ok"]
    named = {word.rstrip(".") for line in told for word in re.findall(r"\b[a-z]+\.[a-z][a-z0-9_.]*", line)}
    has = {*config, *(field.rpartition(".")[0] for field in config)}  # a schedule is named as a whole
    assert named <= has
    if name == "gan_digits":
        assert {"objective.r1_weight", "optimizer.discriminator_ratio", "optimizer.b1"} <= named
        assert not any("loss=relativistic" in line for line in told), "it is so already"
    else:
        assert not re.search("critic|discriminator|relativistic|r1", " ".join(told))


def test_every_verdict_is_one_sentence():
    config = flatten(to_json(load("gan_digits")))
    for trouble in (*GAMES, *BOUNDS, game()):
        for verdict in diagnose(trouble, TROUBLE, config):
            assert not verdict.sentence[0].islower() or verdict.name == "Finite numbers"
            assert verdict.sentence.endswith(".") and "\n" not in verdict.sentence
            assert not re.search(r"[.!?] +[A-Z]", verdict.sentence), verdict.sentence
            assert verdict.level in ("ok", "watch", "bad")
