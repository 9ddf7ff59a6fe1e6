"""Runs of a grid trained several at a time by one compiled update (`gen_jax.lanes`), in this process.

Runs that stand at the same step are trained side by side, as many as there are lanes; one that stands alone is trained
as `gen-jax train` does. How far each is, is read from its directory again before every group, as elsewhere in a sweep.
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from gen_jax.config import load
from gen_jax.errors import Failed, InputError, Interrupted, NonFinite
from gen_jax.lanes import Apart, Lane, check, train
from gen_jax.sweep import results, workers
from gen_jax.sweep.plan import Plan, Run, runs_of
from gen_jax.sweep.state import hopeless, reached, seen
from gen_jax.train import train as alone


def refuse(plan: Plan, folder: Path, count: int, **others) -> None:
    """Refuses a sweep whose runs cannot be lanes.

    Args:
      count: lanes that were asked for.
      others: flag -> what was given for it; of those that lanes do not go with.

    Raises:
      InputError: a flag or a field, by its name.
    """
    if plan.trials:
        raise InputError(f"--lanes={count}: a search asks for its runs one by one; lanes are for grids and seeds")
    for flag, given in others.items():
        if given not in (None, False, "none"):
            word = f"--{flag}" if given is True else f"--{flag}={given}"
            raise InputError(f"{word}: does not go with --lanes={count}, which trains in one process; leave one out")
    check([_lane(plan, run).config for runs in _cells(plan, folder) for run in runs], count)


def _cells(plan: Plan, folder: Path) -> list[list[Run]]:
    return [runs_of(plan, folder, number, cell) for number, cell in enumerate(plan.cells)]


def _lane(plan, run):
    overrides = [word.removeprefix("--config.").partition("=")[::2] for word in run.words if "--config." in word]
    return Lane(load(plan.config, overrides), run.path, plan.config, dict(overrides))


def _next(runs, over, count):
    """The next runs to be trained together: of those that stand at one step, the furthest."""
    found = {}
    for run in runs:
        now = seen(run.path)
        ended = now.state in ("done", "pruned") or (now.state == "failed" and hopeless(now.why))
        if run not in over and not ended:
            found.setdefault(now.step, []).append(run)
    return found[max(found)][:count] if found else []


def _train(lanes: Sequence[Lane], observers):
    if len(lanes) > 1:
        train(lanes, observers=observers, say=True)
    else:
        config, workdir, name, overrides = lanes[0]
        alone(config, workdir, observers=observers(config), say=True, name=name, overrides=overrides)


def drive(plan: Plan, folder: Path, count: int, observers: Callable, tell: Callable[[str], None]) -> int:
    """Trains what is not done, `count` at a time. Returns the number of the signal that stopped it, 0 where none did.

    Args:
      observers: config -> what looks at its run while it trains.
      tell: takes a line for the terminal.

    Raises:
      InputError: the metric is logged by no run, or a run directory cannot be used.
      Failed: several lanes together ended before their time, other than by a loss that is no number.
    """
    cells, over = _cells(plan, folder), set()
    while group := _next(itertools.chain(*cells), over, count):
        with ExitStack() as stack:
            claims = {run: claim for run in group if (claim := workers.claim(run))}
            for claim in claims.values():
                stack.enter_context(claim)
            over |= set(group) - claims.keys()  # another process has those
            try:
                if claims:
                    _train([_lane(plan, run) for run in claims], observers)
            except Interrupted as stopped:
                return stopped.signum
            except Apart as error:
                tell(str(error))  # each goes on with those that stand where it does
            except NonFinite:
                pass  # it is told below; the others go on without it
            except Failed as error:
                if len(claims) > 1:
                    raise Failed(f"{error}; the same command with fewer --lanes goes on") from error
                over |= claims.keys()
        for run in claims:
            now = seen(run.path)
            if now.state in ("done", "failed"):
                value = reached(run.path, plan.metric) if now.state == "done" else None
                said = f" · {plan.metric} {value:.4g}" if value is not None else f": {now.why}" if now.why else ""
                tell(f"{run.name} {now.state}{said}")
        results.write(folder, results.collect(plan, cells))
    return 0
