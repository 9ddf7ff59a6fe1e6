"""Every rule of diagnose, on rows that have the trouble and on rows that have not."""

import math

import numpy as np
import pytest

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
    # Both signs are needed: a relativistic critic may hold all logits on one side of 0.
    assert level(7, 0.5) == "ok"
    assert "20 apart" in sentence("Discriminator", game(real_logit=10, fake_logit=-10, real_sign=1, d=0.0))
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


def test_every_sentence_is_one_line_with_a_full_stop():
    records = [score("classes_found", 2, floor=10), score("share_closer", 0.4), score("elbo", -200.0)]
    for verdict in diagnose(game(kl=0.0, log_likelihood=-80.0, loss=80.0, g=1.0), records):
        assert verdict.sentence.endswith(".") and "\n" not in verdict.sentence
        assert verdict.level in ("ok", "watch", "bad")
