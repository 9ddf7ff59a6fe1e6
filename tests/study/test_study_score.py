"""Simulated raters of known preference: what they prefer is found again, and who does not look is left out."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from gen_jax.errors import InputError
from gen_jax.study import fleiss_kappa, make, score
from gen_jax.study.score import FASTEST, PSEUDO_WINS, bradley_terry

RNG = np.random.default_rng(0)
STRENGTHS = {"weak": -1.0, "middle": 0.2, "strong": 0.8}


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def study(path, kind, names, trials):
    sources = [(name, RNG.integers(0, 256, (trials, 4, 4, 1), np.uint8)) for name in names]
    make(sources, path / "study.html", kind=kind, trials=trials)
    return path / "study.key.json"


@pytest.fixture(scope="module")
def preference(tmp_path_factory):
    return study(tmp_path_factory.mktemp("preference"), "preference", STRENGTHS, 60)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return study(tmp_path_factory.mktemp("two"), "preference", ["a", "b"], 20)


@pytest.fixture(scope="module")
def real_or_fake(tmp_path_factory):
    return study(tmp_path_factory.mktemp("real_or_fake"), "real_or_fake", ["gan", "vae", "real"], 40)


def answers(key, folder, raters, first, careful=True, rng=None):
    """Files of simulated raters; `first(sources)` is the probability of the first answer to a trial."""
    key = json.loads(key.read_text())
    rng = rng or np.random.default_rng(1)
    first_answer, second_answer = ("left", "right") if key["kind"] == "preference" else ("real", "fake")
    paths = []
    folder.mkdir(exist_ok=True)
    for i in range(raters):
        given = {name: check["answer"] for name, check in key["attention"].items()}
        if not careful:
            given = dict.fromkeys(given, first_answer)
        for name, trial in key["trials"].items():
            probability = first([key["pictures"][p]["source"] for p in trial["pictures"]])
            given[name] = first_answer if rng.uniform() < probability else second_answer
        order = rng.permutation(len(given)).tolist()
        content = {
            "study": key["study"],
            "page": key["page"],
            "rater": f"{folder.name}-{i}",
            "answers": [
                {"trial": name, "answer": answer, "milliseconds": 200 * (i + 1) ** 2, "order": o}
                for (name, answer), o in zip(given.items(), order, strict=True)
            ],
        }
        paths.append(folder / f"{i}.json")
        paths[-1].write_text(json.dumps(content))
    return paths


def known(sources):
    return sigmoid(STRENGTHS[sources[0]] - STRENGTHS[sources[1]])


def test_strengths_and_ranking_are_recovered(preference, tmp_path):
    found = score(answers(preference, tmp_path / "r", 25, known), preference)
    sources = found["result"]["sources"]
    assert [source["name"] for source in sources] == ["strong", "middle", "weak"]
    for source in sources:
        strength, true = source["strength"], STRENGTHS[source["name"]]
        assert strength["low"] < true < strength["high"] and strength["high"] - strength["low"] < 0.8
        np.testing.assert_allclose(source["win_against_mean"]["value"], sigmoid(strength["value"]))
        assert source["comparisons"] == 25 * 40
    for pair in found["result"]["pairs"]:
        beats, true = pair["first_beats_second"], known((pair["first"], pair["second"]))
        assert beats["low"] < true < beats["high"]
        assert pair["first_won"] + pair["second_won"] == 25 * 20
    assert found["raters"] == {"given": 25, "kept": 25, "dropped": [], "odd_times": {}}
    assert found["median_milliseconds"] == 33800.0
    assert json.loads(json.dumps(found)) == found


def test_two_sources_have_a_closed_form(two, tmp_path):
    found = score(answers(two, tmp_path / "r", 5, lambda s: 0.8 if s[0] == "a" else 0.2), two)
    (pair,) = found["result"]["pairs"]
    expected = (pair["first_won"] + PSEUDO_WINS) / (100 + 2 * PSEUDO_WINS)
    np.testing.assert_allclose(pair["first_beats_second"]["value"], expected, rtol=1e-6)


def test_bradley_terry_is_the_maximum_of_its_likelihood():
    wins = RNG.integers(0, 9, (4, 4)).astype(float)
    wins[0] += 5
    wins[3] = 0  # never won: only the added wins keep its strength finite
    np.fill_diagonal(wins, 0)
    padded = wins + PSEUDO_WINS * (1 - np.eye(4))

    def loss(s):
        return np.sum(padded * np.log1p(np.exp(s[None, :] - s[:, None]))) + np.sum(s) ** 2

    expected = scipy.optimize.minimize(loss, np.zeros(4), tol=1e-10).x
    np.testing.assert_allclose(bradley_terry(wins), expected, atol=1e-4)


def test_a_source_that_always_won_has_a_finite_strength(two, preference, tmp_path):
    for key, best in ((two, "a"), (preference, "strong")):
        paths = answers(key, tmp_path / best, 3, lambda s, b=best: float(s[0] == b))
        found = score(paths, key)
        assert found["result"]["sources"][0]["name"] == best
        assert all(np.isfinite(source["strength"]["value"]) for source in found["result"]["sources"])
    # Three raters, of whom all agree: the interval has no width, and that is said.
    assert any("no certainty" in note for note in found["notes"]) and not any("narrow" in n for n in found["notes"])
    assert any("two raters" in note for note in score(paths[:2], key)["notes"])


def test_random_raters_prefer_nothing_and_agree_by_chance(preference, tmp_path):
    found = score(answers(preference, tmp_path / "r", 30, lambda s: 0.5), preference)
    for pair in found["result"]["pairs"]:
        assert pair["first_beats_second"]["low"] < 0.5 < pair["first_beats_second"]["high"]
    assert abs(found["fleiss_kappa"]) < 0.03


def few_raters(raters, studies):
    """`experiments/study_coverage.py`, which measures the table in the docstring of `score`."""
    path = Path(__file__).parents[2] / "experiments" / "study_coverage.py"
    spec = importlib.util.spec_from_file_location("study_coverage", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.coverage(raters, studies, seed=5)


@pytest.mark.parametrize("raters", [3, 5])
def test_intervals_over_few_raters_cover_as_often_as_they_say(raters):
    # 95 % intervals. Of 150, a binomial of 0.95 has fewer than 134 once in 300 times.
    assert min(few_raters(raters, 150).values()) >= 134 / 150


def test_intervals_over_raters_are_as_wide_as_those_of_student(real_or_fake, tmp_path):
    paths = answers(real_or_fake, tmp_path / "r", 8, lambda s: 0.6)
    found = score(paths, real_or_fake)["result"]["error_percent"]
    alone = [score([path], real_or_fake)["result"]["error_percent"]["value"] for path in paths]
    low, high = scipy.stats.t.interval(0.95, 7, np.mean(alone), scipy.stats.sem(alone))
    np.testing.assert_allclose(found["high"] - found["low"], high - low, rtol=0.02)
    np.testing.assert_allclose(found["value"], np.mean(alone))


def test_answers_at_absurd_times_are_flagged(two, tmp_path):
    paths = answers(two, tmp_path / "r", 3, lambda sources: 0.5)
    content = json.loads(paths[1].read_text())
    for one, milliseconds in zip(content["answers"], (0, 149, 150, 3_600_000, 3_600_001, 1e300), strict=False):
        one["milliseconds"] = milliseconds
    paths[1].write_text(json.dumps(content))
    found = score(paths, two)
    assert found["raters"]["odd_times"] == {"r-1": 4} and found["raters"]["kept"] == 3
    assert any(note.startswith("rater r-1: 4 answers at times that no person needs") for note in found["notes"])
    # The bound is that of the page, which takes no answer before it.
    page = two.with_name("study.html").read_text()
    assert f"const PAUSE = {FASTEST};" in page and "if (milliseconds < PAUSE) return;" in page


def test_careless_raters_are_dropped_and_counted(preference, tmp_path):
    good = answers(preference, tmp_path / "good", 6, known)
    bad = answers(preference, tmp_path / "bad", 3, lambda s: 1.0, careful=False)
    found, alone = (score(paths, preference) for paths in (good + bad, good))
    assert found["raters"] == {"given": 9, "kept": 6, "dropped": ["bad-0", "bad-1", "bad-2"], "odd_times": {}}
    assert found["result"] == alone["result"] and found["fleiss_kappa"] == alone["fleiss_kappa"]
    # The order of the files does not matter.
    assert score((good + bad)[::-1], preference)["result"] == found["result"]
    with pytest.raises(InputError, match="none of 3 raters"):
        score(bad, preference)


def test_hype_is_the_share_of_wrong_answers(real_or_fake, tmp_path):
    called_real = {"gan": 0.0, "vae": 1.0, "real": 1.0}
    found = score(answers(real_or_fake, tmp_path / "r", 4, lambda s: called_real[s[0]]), real_or_fake)
    result = found["result"]
    # Half are real, a quarter is of each generator: the errors are the fakes of one of them.
    assert result["error_percent"]["value"] == 25.0
    assert result["fakes_called_real_percent"]["value"] == 50.0
    assert result["reals_called_fake_percent"]["value"] == 0.0
    rows = {source["name"]: (source["trials"], source["wrong"]) for source in result["sources"]}
    assert rows == {"gan": (10, 0), "vae": (10, 40), "real": (20, 0)}
    assert found["fleiss_kappa"] == 1.0


def test_guessing_is_fifty_percent(real_or_fake, tmp_path):
    paths = answers(real_or_fake, tmp_path / "r", 30, lambda s: 0.5, rng=np.random.default_rng(2))
    found = score(paths, real_or_fake)
    error = found["result"]["error_percent"]
    assert error["low"] < 50.0 < error["high"] and error["high"] - error["low"] < 10
    assert abs(found["fleiss_kappa"]) < 0.05


def test_one_rater_has_intervals_over_trials_and_it_is_said(two, real_or_fake, tmp_path):
    found = score(answers(two, tmp_path / "two", 1, lambda s: 0.7 if s[0] == "a" else 0.3), two)
    pair = found["result"]["pairs"][0]
    assert found["protocol"]["intervals"]["over"] == "trials" and found["fleiss_kappa"] is None
    assert any("one rater" in note for note in found["notes"])
    # The width is that of a binomial share of 20 trials.
    share = pair["first_won"] / 20
    width = pair["first_beats_second"]["high"] - pair["first_beats_second"]["low"]
    np.testing.assert_allclose(width, 2 * 2.09 * np.sqrt(share * (1 - share) / 20), rtol=0.2)
    # Left out within each source, so the one always wrong and those always right leave no doubt.
    one = answers(real_or_fake, tmp_path / "one", 1, lambda s: float(s[0] != "gan"))
    error = score(one, real_or_fake)["result"]["error_percent"]
    assert error == {"value": 25.0, "low": 25.0, "high": 25.0}


def test_kappa_of_the_textbook_and_of_two_raters():
    # Ten subjects, fourteen raters, five categories; the known answer is 0.210.
    counts = np.array(
        [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ]
    )
    assert round(fleiss_kappa(counts), 3) == 0.210
    # Of two raters it is Scott's pi; here they never agree.
    assert fleiss_kappa(np.array([[1, 1], [1, 1]])) == -1.0
    assert fleiss_kappa(np.array([[3, 0], [0, 3]])) == 1.0


@pytest.mark.parametrize("counts", [[[1, 0], [0, 1]], [[2, 0], [2, 1]], [[2, 0], [2, 0]], np.zeros((0, 2))])
def test_kappa_without_a_value_is_refused(counts):
    with pytest.raises(InputError, match="kappa"):
        fleiss_kappa(np.array(counts))


def test_one_answer_to_everything_has_no_kappa(two, tmp_path):
    found = score(answers(two, tmp_path / "r", 5, lambda s: 1.0), two)
    assert found["fleiss_kappa"] is None and any("no kappa" in note for note in found["notes"])


def changed(**fields):
    return lambda content: {**content, **fields}


def first_changed(**fields):
    return lambda content: {**content, "answers": [{**content["answers"][0], **fields}, *content["answers"][1:]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(study="0" * 12), "give its own key"),
        (changed(page=99), "give its own key"),
        (changed(rater=None), "no rater"),
        (changed(answers="none"), "no answers"),
        (changed(answers=[]), "answers 0 of 25"),
        (lambda content: {**content, "answers": content["answers"][:-1]}, "damaged|24 of 25"),
        (lambda content: {**content, "answers": [*content["answers"], content["answers"][0]]}, "damaged"),
        (first_changed(trial="other"), "24 of 25"),
        (first_changed(answer="both"), "cannot give"),
        (first_changed(answer=None), "cannot give"),
        (first_changed(milliseconds=-1), "cannot give"),
        (first_changed(milliseconds=float("nan")), "cannot give"),
        (first_changed(milliseconds="fast"), "cannot give"),
        (first_changed(order=99), "cannot give"),
        (first_changed(order=True), "cannot give"),
        (lambda content: [content], "not the answers file"),
        (lambda content: {}, "not the answers file"),
    ],
)
def test_damaged_answers_are_refused(two, tmp_path, change, message):
    good, bad = answers(two, tmp_path / "r", 2, lambda s: 0.5)
    bad.write_text(json.dumps(change(json.loads(bad.read_text()))))
    with pytest.raises(InputError, match=message) as refusal:
        score([good, bad], two)
    assert "\n" not in str(refusal.value) and str(bad) in str(refusal.value)


def test_other_bad_input_is_refused(two, preference, tmp_path):
    (path,) = answers(two, tmp_path / "r", 1, lambda s: 0.5)
    cut = tmp_path / "cut.json"
    cut.write_text(path.read_text()[:300])
    for files, key, message in [
        ([path, path], two, "give one of them"),
        ([cut], two, "damaged"),
        ([path], cut, "damaged"),
        ([tmp_path / "none.json"], two, "cannot be read"),
        ([path], path, "beside the page"),
        ([path], preference, "its own key"),
        ([], two, "no answers"),
    ]:
        with pytest.raises(InputError, match=message):
            score(files, key)


@pytest.mark.parametrize("field", ["sources", "pictures", "trials", "attention"])
def test_a_key_that_does_not_fit_itself_is_refused(two, tmp_path, field):
    broken = tmp_path / "broken.key.json"
    content = json.loads(two.read_text())
    for wrong in (
        {**content, field: {"x": {}}},
        {**content, field: 3},
        {k: v for k, v in content.items() if k != field},
    ):
        broken.write_text(json.dumps(wrong))
        with pytest.raises(InputError, match="damaged|beside the page"):
            score(answers(two, tmp_path / "r", 1, lambda s: 0.5), broken)
