"""gen-jax sweep: flags in, a plan driven, a table out."""

import sys
import time
from pathlib import Path

from gen_jax.command import command
from gen_jax.errors import InputError
from gen_jax.sweep import plan as plans
from gen_jax.sweep import results
from gen_jax.sweep.drive import Driver, Grid
from gen_jax.sweep.plan import runs_of
from gen_jax.sweep.workers import gpus, slots

EVERY = 2.0  # seconds between two looks of --status


def sweep(arguments) -> int:
    """Runs a sweep, shows it, or prints what it would run."""
    folder = Path(arguments.folder)
    if arguments.status:
        return _status(folder)
    plan = _plan(arguments, folder)
    search = bool(plan.trials)
    if search and plan.shared != bool(arguments.storage):
        hint = "a database; give its --storage again" if plan.shared else "its folder; leave --storage out"
        raise InputError(f"the search in {folder} lies in {hint}")
    if arguments.storage and not search:
        raise InputError(f"--storage={arguments.storage}: is for a search; a grid needs none")
    slurm = arguments.launcher == "slurm"
    if slurm and search:
        raise InputError("--launcher=slurm: is for grids; run the command of a search itself as a job")
    if arguments.slurm and not slurm:
        raise InputError(f"--slurm={arguments.slurm}: is for --launcher=slurm")
    if arguments.lanes and slurm:
        raise InputError("--launcher=slurm submits a job a run, and lanes share a process; leave one of both out")
    if arguments.lanes:
        _check_lanes(plan, folder, arguments)
    if arguments.dry_run:
        print(_dry(plan, folder))
        return 0
    if arguments.print_commands:
        if search:
            raise InputError("--print_commands: what a search runs next depends on what came out; it is for grids")
        plans.write(folder, plan)
        for runs in _of_grid(plan, folder):
            for run in runs:
                if not (run.path / "DONE").exists():
                    print(command(*run.words))
        return 0
    if search:
        from gen_jax.sweep.search import library

        library()
    with plans.driven(folder, alone=not arguments.storage):
        with plans.one_at_a_time(folder):  # of two that begin it at once, the second takes what the first wrote
            plan = plans.agreed(folder, plan, arguments.extend)
            if slurm:
                return _submit(plan, folder.absolute(), arguments)
            plans.write(folder, plan)
        return _drive(plan, folder, arguments)


def _plan(arguments, folder):
    given = ("config", "space", "trials", "metric", "direction", "prune", "overrides")
    begun = (folder / "sweep.json").exists()
    if begun and arguments.seeds == 1 and not any(getattr(arguments, name) for name in given):
        return plans.read(folder)
    metric = arguments.metric or ""
    direction = arguments.direction or (results.direction_of(metric) if metric else "")
    plan = plans.asked(
        arguments.config or "gan_digits",
        arguments.overrides,
        space=arguments.space or "",
        seeds=arguments.seeds,
        trials=arguments.trials,
        metric=metric,
        direction=direction,
        prune=arguments.prune or "none",
        shared=bool(arguments.storage),
    )
    return plans.agreed(folder, plan, arguments.extend)


def _of_grid(plan, folder):
    return [runs_of(plan, folder, number, cell) for number, cell in enumerate(plan.cells)]


def _dry(plan, folder):
    if plan.trials:
        lines = [["field", "values"], *([path, text] for path, text in plan.swept)]
        lines += [["space", plan.space]] if plan.space else []
        return f"{results.columns(lines)}\n{plan.trials} cells x {plan.seeds} seeds = {plan.trials * plan.seeds} runs"
    cells = _of_grid(plan, folder)
    found = results.collect(plan, cells)
    rows = [row for cell in sorted(found.cells, key=lambda cell: cell.number) for row in cell.rows]
    lines = [["run", "state"], *([row.run.name, row.seen.state] for row in rows)]
    return (
        f"{results.columns(lines)}\n{len(cells)} cells x {plan.seeds} seeds = {len(rows)} runs in {folder / 'trials'}"
    )


def _submit(plan, folder, arguments):
    from gen_jax.sweep import slurm

    executor = slurm.executor(folder, arguments.slurm, arguments.parallel)
    plans.write(folder, plan)
    jobs = slurm.submit([run for runs in _of_grid(plan, folder) for run in runs], executor)
    for job in jobs:
        print(job.job_id)
    look, again = command("sweep", folder, "--status"), command("sweep", folder)
    print(f"{len(jobs)} jobs submitted; {look} shows how far they are, {again} ranks them at the end", file=sys.stderr)
    return 0


def _check_lanes(plan, folder, arguments):
    from gen_jax.runtime import compilation
    from gen_jax.sweep.lanes import refuse

    compilation.enable_cache()
    others = {name: getattr(arguments, name) for name in ("parallel", "print_commands")}
    refuse(plan, folder, arguments.lanes, prune=plan.prune, **others)


def _drive(plan, folder, arguments):
    tell = lambda line: print(line, file=sys.stderr, flush=True)
    if arguments.lanes:
        from gen_jax.evaluation.during_training import observers
        from gen_jax.sweep import lanes

        stopped = lanes.drive(plan, folder, arguments.lanes, observers, tell)
        cells = _of_grid(plan, folder)
    else:
        source = Grid(plan)
        if plan.trials:
            from gen_jax.sweep.search import Search

            source = Search(plan, folder, arguments.storage or "")
        driver = Driver(plan, folder, source, slots(arguments.parallel, gpus()), tell)
        stopped, cells = driver.run(), list(driver.cells.values())
    if stopped:
        asked = [f"--lanes={arguments.lanes}"] if arguments.lanes else ["--storage=URL"] if plan.shared else []
        print(f"stopped, saved; go on with: {command('sweep', folder, *asked)}", file=sys.stderr)
        return 128 + stopped
    found = results.collect(plan, cells)
    _report(plan, folder, found)
    print(results.as_text(found))
    states = [row.seen.state for cell in found.cells for row in cell.rows]
    failed = sum(state not in ("done", "pruned") for state in states)
    tell(results.told(folder, found))
    if failed:
        print(f"error: {failed} of {len(states)} runs failed; {folder / 'table.csv'} says why", file=sys.stderr)
    return 1 if failed else 0


def _report(plan, folder, found):
    from gen_jax.sweep import page
    from gen_jax.sweep.search import importance

    page.write(folder, plan, found, importance(found))


def _status(folder):
    plan = plans.read(folder)
    while True:
        cells = results.begun(plan, folder) if plan.trials else _of_grid(plan, folder)
        found = results.collect(plan, cells)
        rows = [row for cell in found.cells for row in cell.rows]
        total = len(plan.cells or range(plan.trials)) * plan.seeds
        states = ["running" if row.running else row.seen.state for row in rows]
        counts = ", ".join(
            f"{states.count(s)} {s}" for s in ("done", "running", "begun", "pruned", "failed") if s in states
        )
        clear = "\033[H\033[2J" if sys.stdout.isatty() else ""
        print(f"{clear}{results.as_text(found)}\n{total} runs: {counts or 'none begun'}", flush=True)
        if not sys.stdout.isatty() or states.count("done") == total:
            return 0
        time.sleep(EVERY)
