"""Which cells are pruned, by hand-made curves."""

import statistics

from gen_jax.sweep.prune import mean_curve, reason


def flat(value, to=9):
    return dict.fromkeys(range(1, to + 1), value)


def test_the_mean_is_over_the_seeds_that_are_there():
    assert mean_curve([{1: 1.0, 2: 2.0}, {1: 3.0}]) == {1: 2.0, 2: 2.0}
    assert mean_curve([]) == {}


def test_median():
    others = [flat(value) for value in (1.0, 2.0, 3.0, 4.0)]
    assert statistics.median((1.0, 2.0, 3.0, 4.0)) == 2.5
    assert reason("median", {1: 2.6}, others, 9, "min").startswith(
        "at step 1 2.6 at best, the median of 4 others is 2.5"
    )
    assert not reason("median", {1: 2.5}, others, 9, "min")
    assert not reason("median", {1: 0.5, 2: 9.0}, others, 9, "min"), "its best so far counts"
    assert reason("median", {1: 2.4}, others, 9, "max") and not reason("median", {1: 2.6}, others, 9, "max")
    assert not reason("median", {1: 9.0}, others[:3], 9, "min"), "too few to compare with"
    assert not reason("median", {9: 9.0}, others, 9, "min"), "it is at its end"
    assert not reason("none", {1: 9.0}, others, 9, "min")


def test_halving_keeps_the_best_third_of_each_rung():
    """Of 27 steps the rungs are 1, 3 and 9."""
    others = [flat(float(value), to=2) for value in range(1, 9)]
    kept = [value for value in range(12) if not reason("halving", {1: value - 0.5}, others, 27, "min")]
    assert kept == [0, 1, 2, 3], (
        "of nine, itself among them, three are kept: those that fewer than three are better than"
    )
    assert not reason("halving", {1: 7.0}, [], 27, "min"), "the first to get there"
    assert reason("halving", {1: 7.0}, [{1: 6.0}], 27, "min"), "the second goes on if it is better"
    assert not reason("halving", {1: 1.0, 2: 99.0}, others, 27, "min"), "between rungs nothing is asked"
    assert "at step 3" in reason("halving", {1: 1.0, 3: 99.0}, [{1: 2.0, 3: 2.0}], 27, "min")
    assert "at step 100 30" in reason("halving", {100: 30.0}, [{100: 20.0}], 1200, "min"), (
        "where the value was measured"
    )
