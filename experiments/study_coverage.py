"""How often the intervals of a study hold the truth, for few raters and for many.

    uv run python experiments/study_coverage.py

takes three minutes and prints the table in the docstring of `gen_jax.study.score.score`. Raters differ: the log odds of
each are those of the crowd plus a normal of standard deviation 0.5. So the truth, the mean over the crowd, is known.
"""

import numpy as np

from gen_jax.study.score import hype, preference

SPREAD = 0.5  # of the log odds between raters
WINS, CALLED_REAL = 0.7, 0.2  # of the median rater: a beats b, a fake is called real
TRIALS = 20  # of the pair, and of the fakes
CROWD = np.random.default_rng(0).normal(size=100_000)


def probability(median: float, rater: np.ndarray) -> np.ndarray:
    """The probability of an answer by raters who are so many deviations from the median one."""
    return 1.0 / (1.0 + np.exp(-np.log(median / (1.0 - median)) - SPREAD * rater))


def coverage(raters: int, studies: int, seed: int = 0) -> dict[str, float]:
    """The share of simulated studies whose 95 % interval holds the truth."""
    rng = np.random.default_rng(seed)
    beats, called_real = probability(WINS, CROWD).mean(), 100.0 * probability(CALLED_REAL, CROWD).mean()
    held = {"a beats b": 0, "fakes called real": 0}
    for _ in range(studies):
        rater = rng.normal(size=(raters, 1))
        answers = rng.uniform(size=(2, raters, TRIALS))
        pair = preference(["a", "b"], [["b", "a"]] * TRIALS, answers[0] < probability(WINS, rater))["pairs"][0]
        called_fake = np.repeat(answers[1] >= probability(CALLED_REAL, rater), 2, axis=1)  # the reals as if fakes
        fakes = hype(["a"], [["a"], ["real"]] * TRIALS, called_fake)["fakes_called_real_percent"]
        pairs = (("a beats b", pair["first_beats_second"], beats), ("fakes called real", fakes, called_real))
        for name, found, true in pairs:
            held[name] += found["low"] <= true <= found["high"]
    return {name: count / studies for name, count in held.items()}


def main():
    counts = (2, 3, 4, 5, 8, 20)
    found = [coverage(raters, 2000) for raters in counts]
    print(f"{'raters':20}" + "".join(f"{raters:6}" for raters in counts))
    for name in found[0]:
        print(f"{name:20}" + "".join(f"{100 * row[name]:6.1f}" for row in found))


if __name__ == "__main__":
    main()
