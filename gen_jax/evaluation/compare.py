"""compare(runs): the scores of several runs in one table, in which different protocols cannot hide.

A mark says that a value means something else than the first one of its row: other images, other features, another
number of samples. Whether weights are averaged, which seeds were drawn and how many sets is no such thing: the first is
part of what was scored, the others move a value by no more than its spread.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase

from gen_jax.command import command
from gen_jax.errors import InputError
from gen_jax.evaluation.scores import better
from gen_jax.field import flatten
from gen_jax.runtime import logbook
from gen_jax.runtime.files import check_run, read_sealed

# Fields of a protocol that do not change what a value means. What a classifier is, its hash says.
SAME_MEANING = ("weights", "seed", "sampling_seeds", "kernel_seed", "n_floor", "classifier_test_accuracy")

# In a record without a protocol of its own: what is no part of one.
FIGURES = ("metric", "value", "spread", "standard_error", "unit", "floor", "of_real_images", "step", "weights")


def protocol(record: Mapping) -> dict:
    """How a record was measured, flat: its `protocol` and weights."""
    own = record.get("protocol")
    fields = dict(own) if isinstance(own, Mapping) else {k: v for k, v in record.items() if k not in FIGURES}
    return flatten({"weights": record.get("weights", "unknown"), **fields})


def differences(first: Mapping, second: Mapping) -> dict[str, tuple]:
    """Field -> its two values, where the protocols of two records differ in what a value means.

    Of `code` the version counts, not the commit: every commit would mark every score otherwise.
    """
    a, b = protocol(first), protocol(second)
    plain = lambda name, value: str(value).partition("+")[0] if name == "code" else value
    # The objective is the model's own; but the bounds of two likelihoods are two things.
    own = lambda name: name.startswith("objective.") and name != "objective.likelihood"
    names = sorted(name for name in a.keys() | b.keys() if not own(name) and name not in SAME_MEANING)
    return {n: (a.get(n), b.get(n)) for n in names if plain(n, a.get(n)) != plain(n, b.get(n))}


def along_training(records: Sequence[dict]) -> list[dict]:
    """The records that tell how a run went: of a metric that was judged while training, those judgements.

    They share one protocol; what was measured afterwards, with more samples say, is no point of that curve.
    """
    judged = {record["metric"] for record in records if record.get("checkpoint") == "training"}
    return [r for r in records if r["metric"] not in judged or r.get("checkpoint") == "training"]


def scores_of(run: Path) -> dict[str, dict[str, dict]]:
    """What was scored in a run, as `by_checkpoint` says it.

    Raises:
      InputError: no run there, one that was never evaluated, or records that cannot be read.
    """
    path = run / "evaluations.jsonl"
    check_run(run)
    rows = logbook.read_records(path) if path.is_file() else []
    found = by_checkpoint([row for row in rows if row.get("checkpoint") not in (None, "training")])
    if not found:
        raise InputError(f"{run} has no scores; run: {command('evaluate', run)}")
    return found


def by_checkpoint(rows: Sequence[dict]) -> dict[str, dict[str, dict]]:
    """What was scored ("final", "best", "step 500", "final raw") -> metric -> its latest record.

    A metric that several extractors gave is told apart by them: "precision (pixels)"; and a quick one never stands
    in the row of a whole one: "precision (quick)".
    """
    extractors, steps, weights = {}, {}, {}
    for row in rows:
        extractors.setdefault(row["metric"], set()).add(row["protocol"].get("extractor"))
        steps.setdefault(row["checkpoint"], set()).add(row["step"])
        weights.setdefault((row["checkpoint"], row["step"]), set()).add(row["weights"])
    found = {}
    for row in rows:
        which = row["checkpoint"]
        if which == "step" or len(steps[which]) > 1:
            which += f" {row['step']}"
        if len(weights[row["checkpoint"], row["step"]]) > 1:
            which += f" {row['weights']}"
        metric = row["metric"]
        if len(extractors[metric]) > 1:
            metric += f" ({row['protocol'].get('extractor')})"
        if row["protocol"].get("quick"):
            metric += " (quick)"
        found.setdefault(which, {})[metric] = row
    return found


def compare(runs: Sequence[Path]) -> list[dict]:
    """The rows of `beside` for all that was scored in the runs."""
    columns = {}
    for run, name in zip(runs, short_names(runs), strict=True):
        for which, records in scores_of(run).items():
            columns[f"{name} {which}"] = records
    return beside(columns)


def beside(columns: Mapping[str, Mapping[str, dict]]) -> list[dict]:
    """One row a metric: {"metric", "better", "columns": {column: {"value", "spread", "floor", "n_floor", ...}}}.

    `better` says which values are: see `gen_jax.evaluation.scores.better`. `differs` names the fields of the protocol
    in which a value differs from the first one of its row, `warning` says what a value suffers from. `n_floor` is None
    where the floor is of as many images as the value, and so comparable with it.

    Args:
      columns: column -> metric -> record.
    """
    rows = []
    for metric in dict.fromkeys(metric for records in columns.values() for metric in records):
        cells, first = {}, None
        for column, records in columns.items():
            if metric not in records:
                continue
            record = records[metric]
            first = first or record
            numbers = [record["protocol"].get(key) for key in ("n_floor", "n_generated")]
            cells[column] = {
                "value": record["value"],
                "spread": record.get("spread", record.get("standard_error")),
                "refused": record.get("refused"),
                "floor": record.get("floor"),
                "n_floor": numbers[0] if numbers[0] != numbers[1] else None,
                "warning": record.get("warning"),
                "differs": [f"{name} ({a} / {b})" for name, (a, b) in differences(first, record).items()],
            }
        rows.append({"metric": metric, "better": better(metric), "columns": cells})
    return rows


def configs(runs: Sequence[Path]) -> dict[str, dict]:
    """Field -> run -> its value, of the fields in which the configs of several runs differ; a run may lack one.

    Raises:
      InputError: a config that cannot be read.
    """
    flat = {name: flatten(read_sealed(run / "config.json")) for run, name in zip(runs, short_names(runs), strict=True)}
    fields = sorted({field for config in flat.values() for field in config})
    told = {field: {name: config[field] for name, config in flat.items() if field in config} for field in fields}
    alike = lambda values: len(values) == len(flat) and len({repr(value) for value in values.values()}) == 1
    return {field: values for field, values in told.items() if not alike(values)}


def configs_table(differing: Mapping[str, Mapping], names: Sequence[str]) -> str:
    """What `configs` found, for a terminal."""
    if not differing:
        return "what differs in the configs: nothing"
    lines = [["what differs in the configs", *names]]
    lines += [[field, *(str(values.get(name, "--")) for name in names)] for field, values in differing.items()]
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as columns of one width each."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    pad = lambda line: "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    return "\n".join(map(pad, lines))


def table(rows: list[dict]) -> str:
    """The rows for a terminal; a letter marks a value of another protocol, explained below."""
    columns = list(dict.fromkeys(column for row in rows for column in row["columns"]))
    marks = {}
    lines = [["", "better", *columns, "real images"]]
    for row in rows:
        line = [row["metric"], row["better"]]
        for column in columns:
            cell = row["columns"].get(column)
            line.append("" if cell is None else _cell(cell, marks))
        floors = {_floor(cell) for cell in row["columns"].values()} - {""}
        lines.append([*line, floors.pop() if len(floors) == 1 else " / ".join(sorted(floors))])
    text = aligned(lines)
    text += "\n\n± is the deviation over sampling seeds, of bounds and reconstructions the standard error over images"
    if marks:
        text += "\nmeasured otherwise than the first value of the row, so not comparable with it as they stand:"
        text += "".join(f"\n  [{letter}] {', '.join(fields)}" for fields, letter in marks.items())
    for column in columns:
        warnings = {row["columns"].get(column, {}).get("warning"): None for row in rows}
        text += "".join(f"\nwarning, {column}: {warning}" for warning in warnings if warning)
    return text


def _floor(cell):
    if cell["floor"] is None:
        return ""
    return f"{cell['floor']:.4g}" + (f" (of {cell['n_floor']} images)" if cell["n_floor"] else "")


def _cell(cell, marks):
    if cell["value"] is None:
        return "refused" if cell["refused"] else "none"
    text = f"{cell['value']:.4g}" + (f" ± {cell['spread']:.2g}" if cell["spread"] is not None else "")
    if cell["differs"]:
        fields = tuple(cell["differs"])
        letter = marks.setdefault(fields, ascii_lowercase[len(marks) % 26] * (1 + len(marks) // 26))
        text += f" [{letter}]"
    return text


def short_names(runs: Sequence[Path]) -> list[str]:
    """The directories' own names, the whole paths where two share one."""
    names = [run.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]
