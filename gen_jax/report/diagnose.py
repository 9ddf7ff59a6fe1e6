"""diagnose(rows, records): what a run's own numbers say of its health, in plain sentences.

Each rule is a few lines over the rows of metrics.jsonl or the records of evaluations.jsonl, with its
threshold and the reason for it beside it. A rule judges only what was recorded and is silent otherwise; none
knows a family: what it says to try are fields, and only those that the config of the run has are told. They are rules
of thumb: "ok" means that this sign of trouble is not there, and no more.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gen_jax.evaluation.compare import along_training

# Rows of single batches are noisy: the end of a run is its last tenth, and at least three rows.
_END = 0.1
# A trend needs rows enough for noise not to pass for one.
_TREND_ROWS = 24


class Verdict(NamedTuple):
    """One rule's word: `level` is "ok", "watch" or "bad"; `sentence` (one) says what was seen and what to try."""

    name: str
    level: str
    sentence: str


def diagnose(
    rows: Sequence[Mapping], records: Sequence[Mapping] = (), config: Mapping[str, object] | None = None
) -> list[Verdict]:
    """Verdicts on a run, one for each rule that its numbers allow.

    Args:
      rows: of metrics.jsonl, in order: {"step": int, name: float, ...}.
      records: of evaluations.jsonl, in order: {"metric": str, "value": float | None, "step": int, ...}.
      config: of the run, flat: "objective.loss" -> value. Without it no field is named as one to try.

    Returns:
      At most one Verdict a rule, in the order of the rules below; empty where nothing was recorded.
    """
    series = {name: _column(rows, name) for name in sorted({n for row in rows for n in row} - {"step"})}
    finite = all(np.isfinite(values).all() for values in series.values())
    config = config or {}
    verdicts = [_finite(rows, series, records, config)]
    if finite:
        verdicts += [rule(series, config) for rule in (_discriminator, _generator, _oscillation, _posterior)]
    latest = {}
    # In the order in which they were measured, so that the last one of a name stays; whole ones after quick ones.
    for record in sorted(records, key=lambda record: not record.get("protocol", {}).get("quick")):
        if _is_number(record.get("value")):
            latest[record["metric"]] = record
    verdicts += [rule(latest, config) for rule in (_fidelity, _coverage, _collapse, _copying)]
    if finite:
        verdicts += [_overfitting(series, latest, config), _improving(series, records, config)]
    return [verdict for verdict in verdicts if verdict]


def _try(config, *options):
    """The end of a sentence: the options of which the config has the field, and not yet at this value."""

    def open_to(option):
        field, _, value = re.search(r"[a-z_]+\.[a-z0-9_.]+(=[a-z0-9_.]+)?|$", option)[0].partition("=")
        schedule = any(name.startswith(f"{field}.") for name in config)
        return not field or schedule or (field in config and str(config[field]).lower() != value)

    told = [option for option in options if open_to(option)]
    return f"; try {', '.join(told[:-1])}{' or ' * (len(told) > 1)}{told[-1]}" if told else ""


def _finite(rows, series, records, config):
    """A single NaN is one too many: it never goes away by itself."""
    if not rows and not records:
        return None
    for name, values in series.items():
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            step = [row["step"] for row in rows if name in row][wrong[0]]
            return Verdict(
                "Finite numbers",
                "bad",
                f"{name} is {values[wrong[0]]} at step {step}: go back to a checkpoint before it"
                f"{_try(config, 'a lower optimizer.learning_rate', 'optimizer.clip=1')}.",
            )
    # A refused score says itself why; one that was computed and is no number is a fault.
    missing = sorted({r["metric"] for r in records if not _is_number(r.get("value")) and not r.get("refused")})
    if missing:
        return Verdict(
            "Finite numbers",
            "watch",
            f"No number came of {', '.join(missing)}: look at the samples and at the protocol.",
        )
    return Verdict("Finite numbers", "ok", "Every number that was recorded is finite.")


def _discriminator(series, config):
    """Real and generated logits far apart, and the critic sure of every real image.

    With d = softplus(-real) + softplus(fake), a gap of 5 leaves a loss of about 0.16 and of 10 about 0.013: there is
    hardly anything left to learn from. 0.95 and 0.99 are the share of right answers less that of wrong ones. In a
    relativistic game, softplus(fake - real), only the gap counts, and 5 leaves 0.007.
    A negative loss is that of a critic without a scale (Wasserstein), whose gap is no sign of victory.
    """
    if not {"real_logit", "fake_logit", "real_sign", "d"} <= series.keys():
        return None
    gap, sign, loss = _gap(series), _end(series["real_sign"]), _end(series["d"])
    if loss < 0:
        return None
    where = "above" if gap >= 0 else "below"
    seen = f"At the end the logits of real images lie {_number(abs(gap))} {where} generated ones"
    if config.get("objective.loss") == "relativistic":
        seen += " (only this gap counts in a relativistic game: the sign of a logit says nothing there)"
        sign = 1.0
    else:
        seen += f" and {(1 + sign) / 2:.0%} of the real images are called real"
    if gap > 5 and sign > 0.95:
        won = gap > 10 and sign > 0.99
        options = ("a larger objective.r1_weight", "a smaller optimizer.discriminator_ratio", "a smaller discriminator")
        return Verdict(
            "Discriminator",
            "bad" if won else "watch",
            f"{seen}: the discriminator {'has won' if won else 'is far ahead'}{_try(config, *options)}.",
        )
    return Verdict("Discriminator", "ok", f"{seen}: neither side has won.")


def _generator(series, config):
    """A loss that does not move at all, or a gap that has doubled since the first half of the run.

    A thousandth of its mean is below the noise of any batch: no gradient arrives. A gap below 2 is no lead.
    """
    if not {"g", "real_logit", "fake_logit", "d"} <= series.keys() or len(series["g"]) < _TREND_ROWS:
        return None
    late = series["g"][len(series["g"]) // 2 :]
    spread, level = late.std(), abs(late.mean())
    if spread <= 1e-3 * level + 1e-9:
        options = ("objective.loss=non_saturating", "objective.loss=relativistic", "a higher optimizer.learning_rate")
        return Verdict(
            "Generator",
            "bad",
            f"Its loss stands still at {_number(late.mean())} (it varies by {_number(spread)} over the second half)"
            f"{_try(config, *options)}.",
        )
    before, after = _gap(series, 0.25, 0.5), _gap(series, 0.75, 1.0)
    if _end(series["d"]) >= 0 and after > 2 and after > 2 * before:
        return Verdict(
            "Generator",
            "watch",
            f"It falls behind: the gap of the logits grew from {_number(before)} in the second quarter of the run to"
            f" {_number(after)} in the last{_try(config, 'a smaller optimizer.discriminator_ratio')}.",
        )
    return Verdict(
        "Generator", "ok", f"Its loss still moves ({_number(late.mean())} ± {_number(spread)} over the second half)."
    )


def _oscillation(series, config):
    """One period that holds more than half of the variance of the generator's loss (Fisher 1929, the g test).

    In noise alone of 24 rows, of which the rule looks at 12 frequencies, that has a probability below 0.01; with
    more rows less. Below a quarter of the mean the swing does no harm.
    """
    values = series.get("g")
    if values is None or len(values) < 2 * _TREND_ROWS:
        return None
    late = values[len(values) // 2 :]
    time = np.arange(len(late))
    rest = late - np.polyval(np.polyfit(time, late, 1), time)
    power = np.abs(np.fft.rfft(rest))[1:] ** 2
    if not power.sum() > 0:
        return None
    peak = int(power.argmax())
    share, swing = power[peak] / power.sum(), rest.std() / max(abs(late.mean()), 1e-12)
    if peak >= 2 and share > 0.5 and swing > 0.25:  # fewer than three periods are a trend, not an oscillation
        options = ("a lower optimizer.learning_rate", "a smaller optimizer.b1", "a larger objective.r1_weight")
        return Verdict(
            "Oscillation",
            "watch",
            f"The generator's loss swings with a period of {len(late) / (peak + 1):.0f} rows ({share:.0%} of its"
            f" variance, {swing:.0%} of its mean){_try(config, *options)}.",
        )
    return Verdict("Oscillation", "ok", f"No swing to be seen in the generator's loss (it varies by {swing:.0%}).")


def _posterior(series, config):
    """Below 1 nat the latents tell fewer than e = 2.7 images apart; below 0.1 they tell nothing."""
    if "kl" not in series:
        return None
    kl = _end(series["kl"])
    if kl < 1:
        return Verdict(
            "Posterior",
            "bad" if kl < 0.1 else "watch",
            f"The KL is {_number(kl)} nats at the end: the decoder {'ignores' if kl < 0.1 else 'hardly uses'} the"
            f" latents{_try(config, 'objective.beta as a schedule from 0', 'a weaker decoder')}.",
        )
    return Verdict("Posterior", "ok", f"The KL is {_number(kl)} nats at the end: the latents are used.")


def _fidelity(latest, config):
    """Samples that look like no real image: precision against that of real test images."""
    return _against_real("Fidelity", latest, ("precision",), _try(config, "a larger train.steps", "a larger model"))


def _coverage(latest, config):
    """Real images that no sample looks like: recall and coverage against those of real test images."""
    options = ("a larger train.steps", "a larger objective.r1_weight", "a larger model")
    return _against_real("Coverage", latest, ("recall", "coverage"), _try(config, *options))


def _against_real(name, latest, metrics, advice):
    """Bad below half of what real images have, which no eye misses; watch below four fifths.

    Twice the spread over sets of samples speaks for the run: what noise can explain is no sign of trouble.
    """
    seen, level = [], "ok"
    for metric in metrics:
        record = latest.get(metric, {})
        real = _real(record)
        if real:
            share = (record["value"] + 2 * (record.get("spread") or 0.0)) / real
            seen.append(f"{metric} is {_number(record['value'])} (real images: {_number(real)})")
            level = _worse(level, "bad" if share < 0.5 else "watch" if share < 0.8 else "ok")
    return Verdict(name, level, _sentence(" and ".join(seen), "" if level == "ok" else advice)) if seen else None


# What tells how different samples are from each other.
_VARIETY = ("vendi", "mean_pairwise_distance")


def _collapse(latest, config):
    """Fewer classes, or samples less different from each other, than real images.

    Half the classes or half the distance cannot be missed by eye. Sets as good as equal differ by less than a
    fifth in distance; a class fewer than among as many reals is worth a look.
    """
    seen, level = [], "ok"
    if "classes_found" in latest:
        found, of = latest["classes_found"]["value"], _real(latest["classes_found"])
        seen.append(f"classes among the samples: {found:g}" + (f" (among real images: {of:g})" if of else ""))
        if found <= 1 or (of and found < of):
            level = "bad" if found <= 1 or found < of / 2 else "watch"
    for name in _VARIETY:
        of = _real(latest.get(name, {}))
        if of and of > 0:
            ratio = latest[name]["value"] / of
            seen.append(f"{name} {ratio:.0%} of that of real images")
            level = _worse(level, "bad" if ratio < 0.5 else "watch" if ratio < 0.8 else "ok")
    if not seen:
        return None
    options = ("a larger train.steps", "a larger objective.r1_weight", "objective.loss=relativistic")
    return Verdict("Diversity", level, _sentence(", ".join(seen), "" if level == "ok" else _try(config, *options)))


def _copying(latest, config):
    """More samples closer to training images than test images are.

    `share_closer` counts samples nearer to training data than the nearest 1 % of test images, so 0.01 is what honest
    samples give. 5 % leaves room for the noise of a few hundred samples. Grey lies near everything: samples that are
    all alike are no copies, unless they equal a training image, and of them the rule is silent.
    """
    share, copies = (latest.get(name, {}).get("value") for name in ("share_closer", "copies"))
    reals = {name: _real(latest.get(name, {})) for name in (*_VARIETY, "recall")}
    alike = any(latest[name]["value"] < real / 2 for name, real in reals.items() if real)
    if alike and not copies:
        return None
    seen, level = [], "ok"
    if share is not None:
        seen.append(f"{share:.1%} of the samples lie closer to training images than 99 % of test images do")
        level = "bad" if share > 0.2 else "watch" if share > 0.05 else "ok"
    if copies is not None:
        seen.append(f"exact copies of training images: {copies:g}")
        level = "bad" if copies > 0 else level
    if not seen:
        return None
    advice = _try(config, "more data", "a smaller train.steps", "a smaller model")
    return Verdict("Copying", level, _sentence(", ".join(seen), "" if level == "ok" else advice))


def _overfitting(series, latest, config):
    """The bound on training batches against that on test images, in nats: 5 % is above the noise of the batches."""
    if not {"log_likelihood", "kl"} <= series.keys() or "elbo" not in latest:
        return None
    train, test = _end(series["log_likelihood"]) - _end(series["kl"]), latest["elbo"]["value"]
    lead = (train - test) / max(abs(test), 1e-12)
    seen = f"The bound is {_number(train)} nats on the last training batches and {_number(test)} on test images"
    if lead > 0.05:
        return Verdict(
            "Overfitting",
            "bad" if lead > 0.15 else "watch",
            f"{seen}, {lead:.0%} better in training"
            f"{_try(config, 'a smaller train.steps', 'a smaller model', 'a larger optimizer.weight_decay')}.",
        )
    return Verdict("Overfitting", "ok", f"{seen}: no sign of overfitting.")


def _improving(series, records, config):
    """A score that was still getting better when the run ended; without scores, a loss that was still falling.

    Of scores, the last two steps must differ by 5 % and by more than twice the spread over seeds. Losses of
    a game say nothing here, so only `loss` counts: its slope over the last third must be four standard errors
    below 0, and promise 1 % more in another third.
    """
    judged, better = [], []
    records = along_training(records)
    for name in sorted({r["metric"] for r in records}):
        sign = _direction(name)
        by_step = {r["step"]: r for r in records if r["metric"] == name and _is_number(r.get("value"))}
        if sign == 0 or len(by_step) < 2:
            continue
        (_, before), (step, after) = sorted(by_step.items())[-2:]
        judged.append(name)
        gain = sign * (after["value"] - before["value"])
        noise = 2 * max(before.get("spread") or 0, after.get("spread") or 0)
        if gain > max(noise, 0.05 * abs(before["value"])):
            better.append(f"{name} from {_number(before['value'])} to {_number(after['value'])} at step {step}")
    if better:
        return Verdict(
            "Training length",
            "watch",
            f"Still getting better: {', '.join(better)}{_try(config, 'a larger train.steps')}.",
        )
    if judged:
        return Verdict("Training length", "ok", f"No longer getting better: {', '.join(judged)}.")
    values = series.get("loss")
    if values is None or len(values) < _TREND_ROWS:
        return None
    late = values[-(len(values) // 3) :]
    time = np.arange(len(late)) - (len(late) - 1) / 2
    slope = (time @ late) / (time @ time)
    error = np.sqrt(((late - late.mean() - slope * time) ** 2).sum() / (len(late) - 2) / (time @ time))
    promise = -slope * len(late) / max(abs(late.mean()), 1e-12)
    if slope < -4 * error and promise > 0.01:
        return Verdict(
            "Training length",
            "watch",
            f"The loss was still falling at the end ({promise:.1%} over the last third)"
            f"{_try(config, 'a larger train.steps')}.",
        )
    return Verdict("Training length", "ok", f"The loss has levelled off at {_number(late.mean())}.")


def _direction(metric):
    """-1 where less is better, 1 where more is, 0 where it cannot be said."""
    if metric.startswith(("fd_", "kd_", "fid", "kid", "nll", "bits_per_dim", "negative_log_density")):
        return -1
    return 1 if metric == "elbo" else 0


def _sentence(text, advice):
    return f"{text[0].upper()}{text[1:]}{advice}."


def _column(rows, name):
    return np.asarray([row[name] for row in rows if name in row], np.float64)


def _end(values):
    return float(values[-max(3, int(_END * len(values))) :].mean())


def _gap(series, start=None, stop=None):
    gap = series["real_logit"] - series["fake_logit"]
    return _end(gap) if start is None else float(gap[int(start * len(gap)) : int(stop * len(gap))].mean())


def _real(record):
    """The same metric on real images, under its present name or that of older records."""
    value = record.get("floor", record.get("of_real_images"))
    return value if _is_number(value) else None


def _worse(first, second):
    return max(first, second, key=("ok", "watch", "bad").index)


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value):
    return f"{value:.4g}"
