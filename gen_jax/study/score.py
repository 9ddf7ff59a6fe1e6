"""Scores a study: answers of raters and the key in, a plain dict with intervals and protocol out."""

import json
from pathlib import Path

import choix
import numpy as np
import scipy.stats

from gen_jax.errors import InputError
from gen_jax.runtime.files import read_bytes, reason
from gen_jax.study.make import ANSWERS, PAGE
from gen_jax.version import __version__

# Added to the wins of each source over each other. A source that never lost would have infinite strength, and among few
# answers two groups of sources may be unconnected; with it every strength is finite and unique.
PSEUDO_WINS = 0.1
# Milliseconds. The page takes no answer before the first, its pause against double clicks; after the second nobody has
# looked at the images all the time.
FASTEST, SLOWEST = 150, 3_600_000


def score(answers: list[Path], key: Path) -> dict:
    """The result of a study, ready for JSON.

    "preference": strengths of Bradley & Terry (1952), P(A beats B) = 1 / (1 + exp(b - a)), of mean 0, by maximum
    likelihood (choix) on the wins, to each of which 0.1 is added. `win_against_mean` is the probability
    to win against a source of strength 0.

    "real_or_fake": HYPE-infinity (Zhou et al. 2019), the share of wrong answers in percent; 50 means that raters
    could as well have guessed. Split into fakes called real (and these by source) and reals called fake.

    Raters who failed an attention check are left out. Intervals are of 95 %, by the jackknife over raters (Tukey 1958;
    Efron & Tibshirani 1993, ch. 11): everything is computed again without each rater, which gives a standard error, and
    the interval is that of Student's t on the log odds. Where there is one rater, the same over the trials of each
    source or pair. They say nothing of how else the images might have been drawn. How often they hold the truth,
    as `uv run python experiments/study_coverage.py` measures it, in percent of 2,000 studies each, whose raters differ:

        raters                   2     3     4     5     8    20
        a beats b             90.2  95.8  95.9  94.8  95.3  95.8
        fakes called real     87.2  95.3  95.7  95.7  96.2  95.9

    Args:
      answers: the files that raters downloaded, one a rater.
      key: the `.key.json` beside the page.

    Raises:
      InputError: a file that is damaged, of another study or page, incomplete or of a rater given twice; no rater left.
    """
    study = _read_key(Path(key))
    raters = _read_raters([Path(path) for path in answers], study)
    right = {trial: check["answer"] for trial, check in study["attention"].items()}
    passed = [r for r, given in raters.items() if all(given[t]["answer"] == a for t, a in right.items())]
    # Sorted, so that the order of the files does not matter to a sum.
    kept = {rater: raters[rater] for rater in sorted(passed)}
    if not kept:
        raise InputError(f"none of {len(raters)} raters passed the attention checks; ask others")

    trials = sorted(study["trials"])
    second = ANSWERS[study["kind"]][1]
    # True where the second answer was given: right, or fake. [raters, trials]
    choices = np.array([[given[t]["answer"] == second for t in trials] for given in kept.values()])
    shown = [[study["pictures"][p]["source"] for p in study["trials"][t]["pictures"]] for t in trials]
    names = [source["name"] for source in study["sources"]]
    one = len(kept) == 1
    result = (preference if study["kind"] == "preference" else hype)(names, shown, choices)

    notes = []
    odd = {rater: sum(_odd(one) for one in given.values()) for rater, given in kept.items()}
    odd = {rater: count for rater, count in odd.items() if count}
    for rater, count in odd.items():
        notes.append(f"rater {rater}: {count} answers at times that no person needs (under 150 ms or over an hour)")
    if one:
        notes.append("one rater: the intervals are over trials, and no other rater is spoken for")
    elif len(kept) == 2:
        notes.append("two raters: intervals over so few are too narrow")
    if not right:
        notes.append("no attention checks: nobody could be left out")
    if any(interval["low"] == interval["high"] for interval in _intervals(result)):
        notes.append("an interval without width: all raters agree, which is no certainty")
    kappa = None
    if one:
        notes.append("no kappa: agreement needs two raters")
    elif choices.min() == choices.max():
        notes.append("no kappa: there was one answer to all trials")
    else:
        kappa = fleiss_kappa(np.stack([(~choices).sum(axis=0), choices.sum(axis=0)], axis=1))
    return {
        "study": study["study"],
        "kind": study["kind"],
        "title": study["title"],
        "raters": {
            "given": len(raters),
            "kept": len(kept),
            "dropped": sorted(set(raters) - set(kept)),
            "odd_times": odd,
        },
        "trials": len(trials),
        "answers": int(choices.size),
        "result": result,
        "fleiss_kappa": kappa,
        "median_milliseconds": float(
            np.median([[given[t]["milliseconds"] for t in trials] for given in kept.values()])
        ),
        "notes": notes,
        "protocol": {
            "study": study["study"],
            "page": study["page"],
            "study_seed": study["seed"],
            "made_by": study["code"],
            "scored_by": f"gen_jax {__version__}",
            "sources": study["sources"],
            "attention": {"checks": len(right), "rule": "every check right"},
            "intervals": {
                "level": 0.95,
                "method": "jackknife, Student's t on the log odds",
                "over": "trials" if one else "raters",
            },
            **({"pseudo_wins": PSEUDO_WINS} if study["kind"] == "preference" else {}),
        },
    }


def fleiss_kappa(counts: np.ndarray) -> float:
    """Agreement beyond chance of raters (Fleiss 1971, eq. 7): 1 is full, 0 that of chance.

    Args:
      counts: [N, K], how many raters gave trial n the answer k; equally many for every trial.

    Raises:
      InputError: fewer than two raters or unequally many, or one answer to everything: chance agrees fully then.
    """
    counts = np.asarray(counts, np.float64)
    raters = counts.sum(axis=1)
    if counts.size == 0 or raters.min() < 2 or np.ptp(raters):
        raise InputError("kappa needs two raters or more, and equally many for every trial; leave out the incomplete")
    chance = np.sum((counts.sum(axis=0) / counts.sum()) ** 2)
    if chance == 1.0:
        raise InputError("kappa is undefined where all raters gave one answer to all trials; ask about others too")
    observed = np.mean(np.sum(counts * (counts - 1), axis=1) / (raters * (raters - 1)))
    return float((observed - chance) / (1.0 - chance))


def preference(names: list[str], shown: list[list[str]], choices: np.ndarray) -> dict:
    """Strengths of the sources `names` and how often one beats another (see `score`).

    Args:
      shown: of each trial, the source on the left and that on the right.
      choices: bool [raters, trials], whether the right one was preferred.
    """
    count = len(names)
    sides = np.array([[names.index(source) for source in sources] for sources in shown])
    trial = np.arange(len(shown))
    cell = sides[trial, choices.astype(int)] * count + sides[trial, 1 - choices.astype(int)]

    def wins(weight):
        """[sources, sources]: how often the row won against the column."""
        return np.bincount(cell.ravel(), weight.ravel(), count * count).reshape(count, count)

    won = wins(np.ones(cell.shape))
    strength = bradley_terry(won)
    without, groups = _leaving_out(shown, len(choices))
    others = np.array([bradley_terry(wins(weight)) for weight in without])

    def against(strength):
        return 1.0 / (1.0 + np.exp(-strength))

    return {
        "sources": [
            {
                "name": names[i],
                "wins": int(won[i].sum()),
                "comparisons": int(won[i].sum() + won[:, i].sum()),
                "strength": _with_interval(strength[i], others[:, i], groups),
                "win_against_mean": _with_interval(strength[i], others[:, i], groups, against),
            }
            for i in np.argsort(-strength, kind="stable")
        ],
        "pairs": [
            {
                "first": names[i],
                "second": names[j],
                "first_won": int(won[i, j]),
                "second_won": int(won[j, i]),
                "first_beats_second": _with_interval(
                    strength[i] - strength[j], others[:, i] - others[:, j], groups, against
                ),
            }
            for i in range(count)
            for j in range(i + 1, count)
        ],
    }


def bradley_terry(wins: np.ndarray) -> np.ndarray:
    """Strengths [K] of mean 0 from wins [K, K], row over column, each with PSEUDO_WINS added."""
    return choix.ilsr_pairwise_dense(wins + PSEUDO_WINS * (1.0 - np.eye(len(wins))), max_iter=10_000)


def hype(names: list[str], shown: list[list[str]], choices: np.ndarray) -> dict:
    """Shares of wrong answers, in percent (see `score`).

    Args:
      names: of the sources, without "real".
      shown: of each trial, its one source.
      choices: bool [raters, trials], whether the image was called fake.
    """
    source = np.array([sources[0] for sources in shown])
    wrong = choices == (source == "real")
    everything = np.ones(len(source), bool)
    without, groups = _leaving_out(shown, len(choices))

    def rate(trials):
        """Wrong answers among those `trials`, in percent, with its interval."""

        def log_odds(weight):
            right, erred = (np.sum(weight[:, trials] * answers[:, trials]) for answers in (~wrong, wrong))
            return np.log((erred + 0.5) / (right + 0.5))  # the halves keep it finite

        value = 100.0 * np.mean(wrong[:, trials])
        others = np.array([log_odds(weight) for weight in without])
        percent = lambda odds: 100.0 / (1.0 + np.exp(-odds))
        found = _with_interval(log_odds(np.ones(wrong.shape)), others, groups, percent)
        if found["low"] == found["high"]:
            return dict.fromkeys(found, value)
        return {"value": value, "low": min(found["low"], value), "high": max(found["high"], value)}

    return {
        "error_percent": rate(everything),
        "fakes_called_real_percent": rate(source != "real"),
        "reals_called_fake_percent": rate(source == "real"),
        "sources": [
            {
                "name": name,
                "trials": int(np.sum(source == name)),
                "wrong": int(np.sum(wrong[:, source == name])),
                "wrong_percent": rate(source == name),
            }
            for name in names
        ],
    }


def _leaving_out(shown: list[list[str]], raters: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the answers [n, raters, trials], each without one rater, and what group each left one is of [n].

    Of one rater each leaves out a trial; the others of its group, the trials that show the same sources, count more
    for it: the design fixed how many there are.
    """
    if raters > 1:
        weights = 1.0 - np.eye(raters)
        return np.repeat(weights[:, :, None], len(shown), axis=2), np.zeros(raters, int)
    groups = np.unique(["\n".join(sorted(sources)) for sources in shown], return_inverse=True)[1]
    size = np.bincount(groups)[groups]
    same = groups[:, None] == groups
    weights = np.where(same, (size / np.maximum(size - 1, 1))[:, None], 1.0) * (1.0 - np.eye(len(shown)))
    return weights[:, None, :], groups


def _with_interval(value: float, others: np.ndarray, groups: np.ndarray, scale=lambda x: x) -> dict:
    """`value`, and an interval from what it is without each rater or trial [n]: both through `scale`."""
    variance = 0.0
    for group in range(groups.max() + 1):
        left = others[groups == group]
        variance += (len(left) - 1) * np.var(left)
    degrees = len(others) - groups.max() - 1
    alike = variance < 1e-24  # nothing but rounding
    wide = 0.0 if alike else scipy.stats.t.ppf(0.975, degrees) * np.sqrt(variance)
    return {"value": float(scale(value)), "low": float(scale(value - wide)), "high": float(scale(value + wide))}


def _intervals(node) -> list[dict]:
    """All that `_with_interval` made, anywhere within a result."""
    if isinstance(node, dict) and "low" in node:
        return [node]
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [interval for part in parts for interval in _intervals(part)]


def _read(path: Path, what: str) -> dict:
    try:
        content = json.loads(read_bytes(path).decode())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}); give the {what} file") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); ask for the {what} file again") from error
    if not isinstance(content, dict) or "study" not in content:
        raise InputError(f"{path} is not the {what} file of a study; give another")
    return content


def _read_key(path: Path) -> dict:
    key = _read(path, "key")
    fields = ("page", "kind", "title", "seed", "code", "sources", "pictures", "trials", "attention")
    if missing := [field for field in fields if field not in key]:
        raise InputError(f"{path} has no {', '.join(missing)}; is it the .key.json beside the page?")
    if key["page"] != PAGE or key["kind"] not in ANSWERS:
        raise InputError(f"{path} is of page {key['page']!r}, this is {PAGE}; score it with {key['code']}")
    try:
        names = {source["name"] for source in key["sources"]}
        shown = {key["pictures"][p]["source"] for trial in key["trials"].values() for p in trial["pictures"]}
        whole = shown == names and all(check["answer"] in ANSWERS[key["kind"]] for check in key["attention"].values())
    except (AttributeError, KeyError, TypeError):
        whole = False
    if not whole:
        raise InputError(f"{path} is damaged (its trials and sources do not fit); make sure it was not edited")
    return key


def _read_raters(paths: list[Path], study: dict) -> dict[str, dict]:
    """rater -> trial -> {"answer", "milliseconds", "order"}; every rater whole and once."""
    if not paths:
        raise InputError("no answers; give the files that raters downloaded")
    raters: dict[str, dict] = {}
    where: dict[str, Path] = {}
    for path in paths:
        content = _read(path, "answers")
        rater, given = content.get("rater"), content.get("answers")
        if content["study"] != study["study"] or content.get("page") != study["page"]:
            raise InputError(f"{path} is of study {content['study']}, the key of {study['study']}; give its own key")
        if not isinstance(rater, str) or not rater or not isinstance(given, list):
            raise InputError(f"{path} is damaged (no rater or no answers); ask for the file again")
        if rater in where:
            raise InputError(f"{path} is of rater {rater}, and so is {where[rater]}; give one of them")
        raters[rater], where[rater] = _whole(path, given, study), path
    return raters


def _whole(path: Path, given: list, study: dict) -> dict[str, dict]:
    expected = {*study["trials"], *study["attention"]}
    good = all(isinstance(one, dict) and _is_answer(one, study) for one in given)
    if not good or sorted(one["order"] for one in given) != list(range(len(given))):
        raise InputError(f"{path} is damaged (an answer that the page cannot give); ask for the file again")
    by_trial = {one["trial"]: one for one in given}
    if by_trial.keys() != expected or len(given) != len(expected):
        there = len(by_trial.keys() & expected)
        raise InputError(
            f"{path} answers {there} of {len(expected)} trials in {len(given)} answers; let it be finished"
        )
    return by_trial


def _odd(one: dict) -> bool:
    return not FASTEST <= one["milliseconds"] <= SLOWEST


def _is_answer(one: dict, study: dict) -> bool:
    milliseconds = one.get("milliseconds")
    return (
        isinstance(one.get("trial"), str)
        and one.get("answer") in ANSWERS[study["kind"]]
        and type(one.get("order")) is int
        and type(milliseconds) in (int, float)
        and 0 <= milliseconds < float("inf")
    )
