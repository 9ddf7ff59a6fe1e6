"""Faults done to small runs, and whether anything was lost by them.

    uv run python experiments/faults.py FOLDER --kills=100 --seed=0

A VAE, a GAN and a random forest on scikit-learn's digits, and the VAE as two processes, are killed, stopped, starved of
disk and so on; after each fault the same command is given again, until the run is done. Then metrics.jsonl,
evaluations.jsonl, every grid and every array of the last checkpoint are compared, bit for bit, with those of a run of
the same command that nothing was done to. A run takes several kills one after another.

Every row that was done is a line of FOLDER/tally.jsonl, and is not done again by the same command; the table is printed
and written to FOLDER/tally.md. What does not end as it should makes a row "lost", and the exit status 1. Which fault
comes when is drawn from --seed; what it meets depends on the machine, too.
"""

import argparse
import json
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from harm.kills import kills, shots
from harm.rows import ROWS, frozen
from harm.runs import CASES, VAE, Case, Lost, compare, fields, go_on
from harm.sweeps import sweep


class Item(NamedTuple):
    """One line of the tally, before it is one."""

    id: str
    row: str
    case: Case
    do: Callable[[Path, Path, float], dict | str | None]  # (folder, reference, seconds of the reference)


A_RUN = 5  # kills that one run takes


def items(count, seed, names, rows, say):
    """What is to be done, in order: kills on all cases in turns, then the rows, each on one case."""
    rng = random.Random(seed)
    cases = [case for case in CASES if not names or case.name in names]
    for i, first in enumerate(range(0, count, A_RUN)):
        case = cases[i % len(cases)]
        mine = list(shots(rng, case, min(A_RUN, count - first)))
        do = lambda folder, reference, seconds, case=case, mine=mine: kills(case, mine, folder, reference, seconds, say)
        yield Item(f"kills-{seed}-{first:03d}-{case.name}", "kills and signals", case, do)
    learners = [case for case in cases if case.processes == 1 and case.name != "forest"]
    for i, (row, fault) in enumerate(ROWS.items()):
        if rows is not None and row not in rows:
            continue
        for case in [learners[i % len(learners)], *([c for c in cases if c.processes > 1] if fault is frozen else [])]:

            def do(folder, reference, seconds, case=case, row=row, fault=fault):
                if note := fault(case, folder / "run"):
                    return note
                if not (folder / "run/DONE").exists():
                    go_on(case, folder / "run")
                compare(folder / "run", reference)
                return {row: 1}

            yield Item(f"{row}-{case.name}", row, case, do)
    if rows is None or "sweep" in rows:

        def do(folder, reference, seconds):
            sweep(folder / "sweep")
            for path in sorted((folder / "sweep/trials").iterdir()):
                rate, seed = (word.partition("=")[2] for word in path.name.partition("-")[2].split(","))
                other = fields(optimizer__learning_rate=rate, seed=seed)
                alone = Case("vae", (*VAE, *other), ())
                go_on(alone, folder / f"alone-{path.name}")
                compare(path, folder / f"alone-{path.name}")
            return {"child, parent and both killed": 1}

        yield Item("sweep", "sweep of four runs", CASES[0], do)


def undisturbed(case, folder):
    """The run that nothing is done to, and how long it takes."""
    workdir = folder / "reference" / case.name.replace(" ", "")
    workdir.parent.mkdir(parents=True, exist_ok=True)
    if not (workdir / "seconds").exists():
        shutil.rmtree(workdir, ignore_errors=True)
        go_on(case, workdir)  # compiles, for all that follow
        shutil.rmtree(workdir)
        (workdir / "seconds").write_text(f"{go_on(case, workdir).seconds:.1f}\n")
    return workdir, float((workdir / "seconds").read_text())


def table(found):
    """Of the tally, as Markdown."""
    counts = {}
    for line in found:
        for what, times in line["done"].items() if line["done"] else [(line["note"] or "", 0)]:
            key = (line["row"] if line["row"] == what or not what else f"{line['row']}: {what}", line["case"])
            done, lost = counts.get(key, (0, 0))
            counts[key] = (done + times, lost + bool(line["lost"]))
    lines = ["| fault | run | times | lost |", "| --- | --- | --- | --- |"]
    lines += [f"| {row} | {case} | {done} | {lost} |" for (row, case), (done, lost) in sorted(counts.items())]
    total = sum(done for done, _ in counts.values())
    return "\n".join(
        [*lines, f"\n{total} faults, {sum(bool(line['lost']) for line in found)} rows in which something was lost"]
    )


def main(words=None) -> int:
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the runs and the tally go")
    parser.add_argument("--kills", type=int, default=100, help="kills and signals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="*", help=f"only these of: {', '.join(case.name for case in CASES)}")
    parser.add_argument("--rows", nargs="*", help=f"only these of: {', '.join([*ROWS, 'sweep'])}")
    asked = parser.parse_args(words)
    folder = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    say = lambda line: print(line, flush=True)
    tally = folder / "tally.jsonl"
    began = time.monotonic()
    found = [json.loads(line) for line in tally.read_text().splitlines()] if tally.exists() else []
    for item in items(asked.kills, asked.seed, asked.cases, asked.rows, say):
        if any(line["id"] == item.id for line in found):
            continue
        here = folder / "now"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        line = {"id": item.id, "row": item.row, "case": item.case.name, "done": {}, "note": "", "lost": ""}
        try:
            reference, seconds = undisturbed(item.case, folder)
            say(f"{time.monotonic() - began:5.0f} s · {item.id}")
            done = item.do(here, reference, seconds)
            line |= {"note": done} if isinstance(done, str) else {"done": done}
        except Lost as lost:
            line["lost"] = str(lost)
            line["done"] = {item.row: 1}
            shutil.rmtree(folder / "lost" / item.id, ignore_errors=True)
            shutil.copytree(here, folder / "lost" / item.id)
        say(f"        {line['lost'] or line['note'] or 'nothing lost'}")
        found.append(line)
        with open(tally, "a") as file:
            file.write(json.dumps(line) + "\n")
    shutil.rmtree(folder / "now", ignore_errors=True)
    (folder / "tally.md").write_text(table(found) + "\n")
    say(table(found))
    return int(any(line["lost"] for line in found))


if __name__ == "__main__":
    sys.exit(main())
