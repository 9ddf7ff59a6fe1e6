"""Which cells are not worth going on with, by the curves of all of them.

A curve is step -> value, the mean over the seeds that have got so far.
"""

import statistics
from collections.abc import Mapping, Sequence

Curve = Mapping[int, float]
RULES = ("none", "median", "halving")
STARTUP = 4  # whole curves to compare with, before the median means anything
ETA = 3


def mean_curve(curves: Sequence[Curve]) -> dict[int, float]:
    """The mean over the seeds that have a value at a step."""
    steps = sorted(set().union(*curves))
    return {step: statistics.fmean(curve[step] for curve in curves if step in curve) for step in steps}


def reason(rule: str, mine: Curve, others: Sequence[Curve], total: int, direction: str) -> str:
    """Why a cell is pruned, in words; "" where it is not.

    Args:
      rule: "median" (Golovin et al. 2017, section 3.2.2): the best value so far is worse than the median of the others
        at the last step; "halving" (ASHA, Li et al. 2020, algorithm 2, eta 3): at a third, a ninth, ... of the run,
        not among the best third of those that have got there. The first is never worse than itself.
      mine: of the cell.
      others: of all other cells, whatever became of them.
      total: steps of a whole run.
      direction: min | max.
    """
    if rule == "none" or not mine:
        return ""
    sign = 1 if direction == "min" else -1
    if rule == "halving":
        return _halved(mine, others, total, sign)
    step = max(mine)
    there = [curve[step] for curve in others if step in curve]
    best = min(sign * value for value in mine.values())
    if step >= total or len(there) < STARTUP or best <= sign * statistics.median(there):
        return ""
    return (
        f"at step {step} {sign * best:.4g} at best, the median of {len(there)} others is {statistics.median(there):.4g}"
    )


def _halved(mine, others, total, sign):
    rungs = []
    rung = total // ETA
    while rung >= 1:
        rungs.append(rung)
        rung //= ETA
    for rung in reversed(rungs):
        step = _first(mine, rung)
        if step is None:
            break
        there = [curve[at] for curve in others if (at := _first(curve, rung)) is not None]
        better = sum(sign * value < sign * mine[step] for value in there)
        if better >= max(1, (len(there) + 1) // ETA):
            return f"at step {step} {mine[step]:.4g}, worse than {better} of {len(there)} others"
    return ""


def _first(curve, rung):
    """The first step from `rung` on that has a value."""
    return min((step for step in curve if step >= rung), default=None)
