"""Scores a study: answers of raters and the key in, a plain dict with intervals and protocol out."""

import json
from pathlib import Path

import choix
import numpy as np
import scipy.stats

from gen_jax.errors import InputError
from gen_jax.study.make import ANSWERS, PAGE
from gen_jax.version import __version__

# Added to the wins of each source over each other. A source that never lost would have infinite strength, and in a
# small resample two groups of sources may be unconnected; with it every strength is finite and unique.
PSEUDO_WINS = 0.1
# Milliseconds. The page takes no answer before the first, its pause against double clicks; after the second nobody has
# looked at the images all the time.
FASTEST, SLOWEST = 150, 3_600_000


def score(answers: list[Path], key: Path, *, seed: int = 0, bootstrap: int = 1000) -> dict:
    """The result of a study, ready for JSON.

    "preference": strengths of Bradley & Terry (1952), P(A beats B) = 1 / (1 + exp(b - a)), of mean 0, by maximum
    likelihood (choix) on the wins, to each of which 0.1 is added. `win_against_mean` is the probability
    to win against a source of strength 0.

    "real_or_fake": HYPE-infinity (Zhou et al. 2019), the share of wrong answers in percent; 50 means that raters
    could as well have guessed. Split into fakes called real (and these by source) and reals called fake.

    Raters who failed an attention check are left out. Intervals are 95 % bootstrap intervals over the raters; over the
    trials, within each source or pair, where there is one rater: expanded percentiles (Hesterberg 2015, "What
    teachers should know about the bootstrap"), since plain ones are too narrow for few raters. They say
    nothing of how else the images might have been drawn.

    Args:
      answers: the files that raters downloaded, one a rater.
      key: the `.key.json` beside the page.
      seed: of the resamples.

    Raises:
      InputError: a file that is damaged, of another study or page, incomplete or of a rater given twice; no rater left.
    """
    if bootstrap < 100:
        raise InputError(f"bootstrap={bootstrap} makes no interval; use at least 100")
    if seed < 0:
        raise InputError(f"seed={seed}: must be >= 0")
    study = _read_key(Path(key))
    raters = _read_raters([Path(path) for path in answers], study)
    right = {trial: check["answer"] for trial, check in study["attention"].items()}
    passed = [r for r, given in raters.items() if all(given[t]["answer"] == a for t, a in right.items())]
    # Sorted, so that the order of the files does not matter to the resamples.
    kept = {rater: raters[rater] for rater in sorted(passed)}
    if not kept:
        raise InputError(f"none of {len(raters)} raters passed the attention checks; ask others")

    trials = sorted(study["trials"])
    second = ANSWERS[study["kind"]][1]
    # True where the second answer was given: right, or fake. [raters, trials]
    choices = np.array([[given[t]["answer"] == second for t in trials] for given in kept.values()])
    shown = [[study["pictures"][p]["source"] for p in study["trials"][t]["pictures"]] for t in trials]
    groups = np.unique(["\n".join(sorted(sources)) for sources in shown], return_inverse=True)[1]
    weights = _resamples(groups, len(kept), bootstrap, np.random.default_rng(seed))
    names = [source["name"] for source in study["sources"]]
    one = len(kept) == 1
    tail = _tail(len(trials) if one else len(kept))
    result = (_preference if study["kind"] == "preference" else _hype)(names, shown, choices, weights, tail)

    notes = []
    odd = {rater: sum(_odd(one) for one in given.values()) for rater, given in kept.items()}
    odd = {rater: count for rater, count in odd.items() if count}
    for rater, count in odd.items():
        notes.append(f"rater {rater}: {count} answers at times that no person needs (under 150 ms or over an hour)")
    if one:
        notes.append("one rater: the intervals are over trials, and no other rater is spoken for")
    elif len(kept) < 5:
        notes.append(f"{len(kept)} raters: intervals over so few are too narrow")
    if not right:
        notes.append("no attention checks: nobody could be left out")
    if any(interval["low"] == interval["high"] for interval in _intervals(result)):
        notes.append("an interval without width: all resamples agree, which is no certainty")
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
                "method": "expanded percentile bootstrap",
                "resampled": "trials" if one else "raters",
                "resamples": bootstrap,
                "seed": seed,
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


def _preference(names, shown, choices, weights, tail) -> dict:
    count = len(names)
    sides = np.array([[names.index(source) for source in sources] for sources in shown])
    trial = np.arange(len(shown))
    cell = sides[trial, choices.astype(int)] * count + sides[trial, 1 - choices.astype(int)]

    def wins(weight):
        """[sources, sources]: how often the row won against the column."""
        weight = np.broadcast_to(weight, cell.shape)
        return np.bincount(cell.ravel(), weight.ravel(), count * count).reshape(count, count)

    strength = bradley_terry(wins(1.0))
    resampled = np.array([bradley_terry(wins(weight)) for weight in weights])
    won = wins(1.0)

    def against(strength):
        return 1.0 / (1.0 + np.exp(-strength))

    return {
        "sources": [
            {
                "name": names[i],
                "wins": int(won[i].sum()),
                "comparisons": int(won[i].sum() + won[:, i].sum()),
                "strength": _with_interval(strength[i], resampled[:, i], tail),
                "win_against_mean": _with_interval(against(strength[i]), against(resampled[:, i]), tail),
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
                    against(strength[i] - strength[j]), against(resampled[:, i] - resampled[:, j]), tail
                ),
            }
            for i in range(count)
            for j in range(i + 1, count)
        ],
    }


def bradley_terry(wins: np.ndarray) -> np.ndarray:
    """Strengths [K] of mean 0 from wins [K, K], row over column, each with PSEUDO_WINS added."""
    return choix.ilsr_pairwise_dense(wins + PSEUDO_WINS * (1.0 - np.eye(len(wins))), max_iter=10_000)


def _hype(names, shown, choices, weights, tail) -> dict:
    source = np.array([sources[0] for sources in shown])
    wrong = choices == (source == "real")
    everything = np.ones(len(source), bool)

    def rate(trials, scale=100.0):
        """Wrong answers among those `trials`, in percent, with its interval."""

        def share(weight):
            weight = np.broadcast_to(weight, wrong.shape)[:, trials]
            return scale * np.sum(weight * wrong[:, trials]) / np.sum(weight)

        return _with_interval(share(1.0), np.array([share(weight) for weight in weights]), tail)

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


def _resamples(groups: np.ndarray, raters: int, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """`count` bootstrap weights, [raters, 1] or, for one rater, [1, trials]; how often each is drawn."""
    if raters > 1:
        return list(rng.multinomial(raters, np.full(raters, 1 / raters), size=count)[..., None].astype(float))
    # The design fixed how many trials each group has, so a resample has as many.
    weights = np.zeros((count, 1, len(groups)))
    for group in range(groups.max() + 1):
        members = np.flatnonzero(groups == group)
        weights[:, 0, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=count)
    return list(weights)


def _tail(count: int) -> float:
    """The share of resamples beyond each end of a 95 % interval over `count` raters (Hesterberg 2015)."""
    return float(scipy.stats.norm.cdf(scipy.stats.t.ppf(0.025, count - 1) * np.sqrt(count / (count - 1))))


def _with_interval(value: float, resampled: np.ndarray, tail: float) -> dict:
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return {"value": float(value), "low": float(low), "high": float(high)}


def _intervals(node) -> list[dict]:
    """All that `_with_interval` made, anywhere within a result."""
    if isinstance(node, dict) and "low" in node:
        return [node]
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [interval for part in parts for interval in _intervals(part)]


def _read(path: Path, what: str) -> dict:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); give the {what} file") from error
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
