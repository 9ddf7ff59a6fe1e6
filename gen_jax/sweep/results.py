"""What came out of a sweep: a ranking by the mean over seeds, table.csv, best.json, best_config.py.

The best seed never wins: a cell is ranked by its mean once all its seeds are done, and its spread stands beside it.
"""

import csv
import io
import pprint
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gen_jax.command import command
from gen_jax.runtime.files import read_json, read_sealed
from gen_jax.runtime.logbook import write_json, write_text
from gen_jax.sweep.grammar import Overrides, short_names
from gen_jax.sweep.plan import Plan, Run, brief
from gen_jax.sweep.state import Seen, final, held, logged, seen


class Row(NamedTuple):
    """One run as it is now."""

    run: Run
    seen: Seen
    running: bool
    value: float | None  # of the metric, at its last step


class Cell(NamedTuple):
    """One cell as it is now."""

    number: int
    swept: Overrides
    rows: tuple[Row, ...]
    mean: float | None  # over the seeds that are done
    spread: float | None  # their standard deviation; None of fewer than two
    rank: int | None  # from 1; None while a seed is missing


class Results(NamedTuple):
    """All cells, the best first, then those that are not ranked."""

    metric: str
    direction: str
    cells: tuple[Cell, ...]


def collect(plan: Plan, cells: Sequence[Sequence[Run]]) -> Results:
    """Reads every run directory and ranks the cells."""
    states = {run: state for runs in cells for run, state in _seen(runs).items()}
    metric = plan.metric or _own_metric(states)
    direction = plan.direction or direction_of(metric)
    found = []
    for runs in cells:
        rows = tuple(_row(run, states[run], metric) for run in runs)
        values = [row.value for row in rows if row.seen.state == "done" and row.value is not None]
        mean = statistics.fmean(values) if values else None
        spread = statistics.stdev(values) if len(values) > 1 else None
        found.append(Cell(runs[0].cell, runs[0].swept, rows, mean, spread, len(values) if values else None))
    sign = 1 if direction == "min" else -1
    whole = sorted((c for c in found if c.rank == len(c.rows)), key=lambda c: sign * c.mean)
    ranked = [cell._replace(rank=i) for i, cell in enumerate(whole, 1)]
    rest = [cell._replace(rank=None) for cell in found if cell not in whole]
    return Results(metric, direction, (*ranked, *rest))


def _seen(runs):
    """The states of a cell's runs: where one seed was pruned, so are those that are not done."""
    states = {run: seen(run.path) for run in runs}
    pruned = next((state for state in states.values() if state.state == "pruned"), None)
    return {run: pruned if pruned and state.state in ("new", "begun") else state for run, state in states.items()}


def _row(run, state, metric):
    running = state.state != "done" and held(run.log)
    return Row(run, state, running, final(run.path, metric) if metric and state.state != "new" else None)


def _own_metric(states):
    """What the runs judge themselves by, as the first that is done has it; else their loss."""
    done = next((run for run, state in states.items() if state.state == "done"), None)
    names = logged(done.path) if done else []
    judged = names[0] if names and (done.path / "evaluations.jsonl").exists() else None
    return judged or ("loss" if "loss" in names else "")


def direction_of(metric: str) -> str:
    """min or max, as is known of a metric; min of what is not known."""
    from gen_jax.evaluation.scores import better

    return "max" if better(metric) == "higher" else "min"


def write(folder: Path, results: Results) -> None:
    """Writes table.csv, and best.json and best_config.py once a cell has all its seeds."""
    write_text(folder / "table.csv", as_csv(results))
    best = next((cell for cell in results.cells if cell.rank == 1), None)
    if not best:
        return
    run = best.rows[0].run
    config = read_sealed(run.path / "config.json")
    told = {
        "metric": results.metric, "direction": results.direction, "mean": best.mean, "spread": best.spread,
        "values": {str(row.run.seed): row.value for row in best.rows}, "cell": best.number,
        "overrides": dict(best.swept), "run": str(run.path), "config": config,
    }  # fmt: skip
    write_json(folder / "best.json", told)
    write_text(folder / "best_config.py", _config_file(folder, results, best, config))


def _config_file(folder, results, best, config):
    """A config file that is whole by itself."""
    changed = ", ".join(f"{path}={text}" for path, text in best.swept) or "nothing but its seeds"
    over = f" +- {best.spread:.3g} over {len(best.rows)} seeds" if best.spread is not None else ""
    lines = [f"    {name!r}: {_literal(value)},\n" for name, value in config.items()]
    doc = (
        f"The best of a sweep: {changed}.\n\n{results.metric} {best.mean:.6g}{over}; seed {best.rows[0].run.seed} here."
    )
    return (
        f'"""{doc.replace(chr(92), "/").replace(chr(34), chr(39))}\n\n'
        f'    gen-jax train --config={folder.name}/best_config.py\n"""\n\n'
        f"from gen_jax.config.load import from_json\n\nCONFIG = {{\n{''.join(lines)}}}\n\n\n"
        "def get_config():\n    return from_json(CONFIG)\n"
    )


def _literal(value):
    return pprint.pformat(value, indent=1, width=100, compact=True).replace("\n", "\n     ")


def names_of(results: Results) -> dict[str, str]:
    """The fields that are swept: dotted path -> short name."""
    return short_names(dict.fromkeys(path for cell in results.cells for path, _ in cell.swept))


def as_csv(results: Results) -> str:
    """A row a run, the best cells first; empty where there is no number."""
    names = {path: name for path, name in names_of(results).items() if path != "seed"}
    head = ["rank", "cell", *names.values(), "seed", "state", "step"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*head, results.metric or "value", "mean", "spread", "run", "why"])
    text = lambda value: "" if value is None else repr(value)
    for cell in results.cells:
        for row in cell.rows:
            swept = [dict(cell.swept).get(path, "") for path in names]
            state = ["running" if row.running else row.seen.state, row.seen.step]
            figures = [text(row.value), text(cell.mean), text(cell.spread)]
            where = [f"trials/{row.run.name}", row.seen.why]
            writer.writerow([text(cell.rank), cell.number, *swept, row.run.seed, *state, *figures, *where])
    return file.getvalue()


def as_text(results: Results) -> str:
    """A table for a terminal, a line a cell."""
    names = names_of(results)
    several = any(len(cell.rows) > 1 for cell in results.cells)
    lines = [["", "cell", *names.values(), results.metric or "value", *(["+-"] if several else []), "runs"]]
    number = lambda value: "" if value is None else f"{value:.4g}"
    for cell in results.cells:
        swept = [brief(dict(cell.swept).get(path, "")) for path in names]
        spread = [number(cell.spread)] if several else []
        rank = str(cell.rank or "")
        lines.append([rank, f"{cell.number:04d}", *swept, number(cell.mean), *spread, _states(cell)])
    return columns(lines)


def _states(cell):
    """The states of its seeds: "done", "2 done, 1 running at step 40"."""
    if all(row.seen.state == "done" for row in cell.rows):
        return "done" if len(cell.rows) == 1 else f"{len(cell.rows)} done"
    names = []
    for row in cell.rows:
        at = f" at step {row.seen.step}" if row.seen.step and row.seen.state != "done" else ""
        names.append(("running" if row.running else row.seen.state) + at)
    if len(names) == 1:
        return names[0]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Lines in columns of equal width."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(word.ljust(w) for word, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def told(folder: Path, results: Results) -> str:
    """The last line of a sweep: what was best, and what to do with it."""
    best = next((cell for cell in results.cells if cell.rank == 1), None)
    if not best:
        return f"no cell is done with a value to rank by; see {folder / 'table.csv'}"
    spread = f" +- {best.spread:.2g}" if best.spread is not None else ""
    return (
        f"best: {best.rows[0].run.name.partition(',seed=')[0]} · {results.metric} {best.mean:.4g}{spread} · "
        f"next: {command('train', f'--config={folder}/best_config.py')}"
    )


def begun(plan: Plan, folder: Path) -> list[list[Run]]:
    """The cells of a search that have run directories, as these tell: for who looks on and does not ask the study."""
    cells: dict[int, list[Run]] = {}
    for path in sorted((folder / "trials").glob("*/overrides.json"), key=lambda path: path.parent.name):
        changed = read_json(path).get("overrides", {})
        number, seed = int(path.parent.name.partition("-")[0]), int(changed.get("seed", plan.first_seed))
        fixed, order = dict(plan.fixed), [name for name, _ in plan.swept]
        swept = [(p, t) for p, t in changed.items() if p != "seed" and fixed.get(p) != t]
        swept.sort(key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order))
        run = Run(number, seed, tuple(swept), path.parent, folder / "logs" / path.parent.name, ())
        cells.setdefault(number, []).append(run)
    return [cells[number] for number in sorted(cells)]
