"""Scores while a run trains, and the weights that they liked best.

Each judgement is a record in the run's evaluations.jsonl with checkpoint "training"; `best/` holds the
Variables of the best one. Both are functions of the State, so a resumed run repeats what a kill took away.
"""

import json
from functools import partial
from pathlib import Path

import jax

from gen_jax import data
from gen_jax.data.dataset import Dataset
from gen_jax.errors import InputError
from gen_jax.evaluation import extractors, scores
from gen_jax.evaluation.reals import beside
from gen_jax.method import Method, variables_of
from gen_jax.observers import Maker, Observer, grids, weights_of
from gen_jax.program import Program
from gen_jax.runtime import checkpoint, logbook
from gen_jax.runtime import mesh as meshes
from gen_jax.sample import of_examples, sampler
from gen_jax.train import train


def observers(config) -> list[Maker]:
    """What `gen-jax train` looks at a run with: grids, and scores where `train.evaluate_every` asks for them."""
    train = config.get("train", {})
    found = [grids(train.get("sample_every", 0))]
    return [*found, judging(config)] if train.get("evaluate_every") else found


def judging(config) -> Maker:
    """Scores every `train.evaluate_every` updates; `best/` keeps the weights that they liked best."""

    def make(program: Program, workdir: Path) -> Observer:
        if program.method.sample is None:
            raise InputError(f"train.evaluate_every: method={config.method} draws no samples; leave it at 0")
        mesh = meshes.local(program.mesh)  # every process judges for itself; what is drawn comes whole to each
        ground = grounds(config, program.method, program.dataset, workdir, mesh)
        draw = sampler(program.method, program.mesh)
        path = workdir / "evaluations.jsonl"
        main, known = jax.process_index() == 0, []

        def begin(step):
            known.extend(row for row in _judged(path) if row["step"] <= step)
            if main:
                _cut(path, step)

        def see(state, step):
            variables = meshes.whole(variables_of(program.method, state))
            asked = partial(of_examples, program.method, program.dataset)
            drawn = lambda seeds: draw.sample(variables, seeds, asked(seeds))
            found = scores.generated(ground, drawn, seed=FIRST_SEED, groups=scores.QUICK)
            weights = weights_of(state)
            records = [scores.record(score, step, weights, "training") for score in found]
            chosen = next(score for score in found if score["metric"] == (config.evaluate.best or found[0]["metric"]))
            metric, value = chosen["metric"], chosen["value"]
            before = [row["value"] for row in known if row["metric"] == metric and row["value"] is not None]
            known.extend(records)
            if main:
                logbook.append_rows(path, records)
            if value is None:
                return f"  {metric} refused: {chosen['refused']}"
            sign = 1 if scores.better(metric) == "lower" else -1
            is_best = all(sign * value < sign * old for old in before)
            if is_best:
                with checkpoint.opened(workdir / "best", keep=1) as best:
                    if step not in best.steps():
                        best.save(step, variables, {"metric": metric, "value": value, "weights": weights})
            real = ground.floor[metric]
            floor = "" if real is None else f" (real images {real:.4g})"
            return f"  {metric} {value:.4g}{floor}{' best' * is_best}"

        return Observer(config.train.evaluate_every, see, begin)

    return make


# Not the seeds that `gen-jax evaluate` draws: the weights that were best on those would look better than they are.
FIRST_SEED = 2**31


def grounds(config, method: Method, images: Dataset, workdir: Path, mesh) -> scores.Ground:
    """What samples will be compared with; trains the classifier of the data set where that is the extractor.

    Raises:
      InputError: the extractor does not go with the data, or `evaluate.best` is no metric of it.
    """
    # Several processes train it together, so it must lie where all of them see it.
    cache = workdir.with_name(f"{workdir.name}.classifiers") if jax.process_count() > 1 else None
    extractor = extractors.make(
        config.evaluate.extractor or extractors.default(images), images, config.data, train, directory=cache
    )
    test = data.make(**config.data, split="test")
    count = min(config.evaluate.count, test.spec.size)
    real = [beside(method, each, config.data.binarize) for each in (images, test)]
    ground = scores.prepare(extractor, *real, mesh, count, scores.QUICK)
    width = ground.reference.features.shape[1]
    if count <= width and config.evaluate.best in ("", next(iter(ground.floor))):
        raise InputError(
            f"evaluate.count={config.evaluate.count}: {count} samples are too few for a Frechet distance in {width}"
            " features; raise it, or choose another evaluate.best or evaluate.extractor"
        )
    if config.evaluate.best and config.evaluate.best not in ground.floor:
        raise InputError(f"evaluate.best={config.evaluate.best}: there are: {', '.join(ground.floor)}")
    return ground


def _judged(path: Path) -> list[dict]:
    rows = logbook.read_records(path) if path.exists() else []
    return [row for row in rows if row.get("checkpoint") == "training"]


def _cut(path: Path, step: int) -> None:
    """Removes the judgements beyond `step`: a run that goes on from there makes them again."""
    if path.exists():
        rows = logbook.read_records(path)
        kept = [row for row in rows if row.get("checkpoint") != "training" or row["step"] <= step]
        logbook.write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
