"""Scores while a run trains, and the weights that they liked best.

Each judgement is a record in the run's evaluations.jsonl with checkpoint "training"; `best/` holds the
Variables of the best one. Both are functions of the State, so a resumed run repeats what a kill took away.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gen_jax import data
from gen_jax.errors import InputError
from gen_jax.evaluation import extractors, scores
from gen_jax.method import State, variables_of
from gen_jax.program import Program
from gen_jax.runtime import checkpoint, logbook
from gen_jax.sample import Sampler


def grounds(config, program: Program, train: Callable) -> scores.Ground:
    """What samples will be compared with; trains the classifier of the data set where that is the extractor.

    Args:
      train: the loop itself, which a classifier learns by.

    Raises:
      InputError: the extractor does not go with the data, or `evaluate.best` is no metric of it.
    """
    images = program.dataset
    extractor = extractors.make(config.evaluate.extractor or extractors.default(images), images, config.data, train)
    test = data.make(**config.data, split="test")
    count = min(config.evaluate.count, test.spec.size)
    ground = scores.prepare(extractor, images, test, program.mesh, count, scores.QUICK)
    width = ground.reference.features.shape[1]
    if count <= width and config.evaluate.best in ("", next(iter(ground.floor))):
        raise InputError(
            f"evaluate.count={config.evaluate.count}: {count} samples are too few for a Frechet distance in {width}"
            " features; raise it, or choose another evaluate.best or evaluate.extractor"
        )
    if config.evaluate.best and config.evaluate.best not in ground.floor:
        raise InputError(f"evaluate.best={config.evaluate.best}: there are: {', '.join(ground.floor)}")
    return ground


# Not the seeds that `gen-jax evaluate` draws: the weights that were best on those would look better than they are.
FIRST_SEED = 2**31


@contextmanager
def judging(
    ground: scores.Ground, config, workdir: Path, program: Program, sampler: Sampler, start: int
) -> Iterator[Callable]:
    """Yields judge(state, step) -> one line about the scores; it writes the records and keeps the best weights."""
    path = workdir / "evaluations.jsonl"
    _cut(path, start)
    with checkpoint.opened(workdir / "best", keep=1) as best:

        def judge(state: State, step: int) -> str:
            variables = variables_of(program.method, state)
            weights = "average" if state.average is not None else "raw"
            draw = lambda seeds: sampler.sample(variables, seeds)  # noqa: E731
            found = scores.generated(ground, draw, seed=FIRST_SEED, groups=scores.QUICK)
            chosen = next(score for score in found if score["metric"] == (config.evaluate.best or found[0]["metric"]))
            metric, value = chosen["metric"], chosen["value"]
            before = [row["value"] for row in _judged(path) if row["metric"] == metric and row["value"] is not None]
            logbook.append_rows(path, [scores.record(score, step, weights, "training") for score in found])
            if value is None:
                return f"  {metric} refused: {chosen['refused']}"
            sign = 1 if scores.lower_is_better(metric) else -1
            is_best = all(sign * value < sign * old for old in before)
            if is_best and step not in best.steps():
                best.save(step, variables, {"metric": metric, "value": value, "weights": weights})
            real = ground.floor[metric]
            floor = "" if real is None else f" (real images {real:.4g})"
            return f"  {metric} {value:.4g}{floor}{' best' * is_best}"

        yield judge


def _judged(path: Path) -> list[dict]:
    rows = logbook.read_rows(path) if path.exists() else []
    return [row for row in rows if row.get("checkpoint") == "training"]


def _cut(path: Path, step: int) -> None:
    """Removes the judgements beyond `step`: a run that goes on from there makes them again."""
    if path.exists():
        rows = logbook.read_rows(path)
        kept = [row for row in rows if row.get("checkpoint") != "training" or row["step"] <= step]
        logbook.write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
