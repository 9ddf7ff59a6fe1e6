"""A `gen-jax train` without JAX, for tests of who starts it, kills it and counts: it starts in a twentieth of a second.

It keeps a run directory as the real one does: lock, config.json, metrics.jsonl, checkpoints/, DONE or FAILED.txt; goes
on from its latest checkpoint; saves on SIGTERM and exits 143. `starts` beside them counts: a line a start, the step.
Its loss is |log10(learning_rate) + 3| + seed / 10 + 1 / step. FAKE in the environment is JSON: name of the run (or
"*") -> {"kill_at", "fail_at", "fail_with", "status", "boot", "pause"}; what happens at a step happens at the first
start only, but for "always". FAKE_BOOTS names a file that gets a line a process, before it has touched its run.
"""

import fcntl
import json
import math
import os
import signal
import sys
import time
from pathlib import Path


def main(words):
    flags = dict(word.removeprefix("--").partition("=")[::2] for word in words[1:])
    run, steps = Path(flags["workdir"]), int(flags.get("config.train.steps", 5))
    rate, seed = float(flags.get("config.optimizer.learning_rate", 1e-3)), int(flags["config.seed"])
    plan = json.loads(os.environ.get("FAKE", "{}"))
    plan = plan.get(run.name, plan.get("*", {}))
    if "FAKE_BOOTS" in os.environ:
        with open(os.environ["FAKE_BOOTS"], "a") as file:
            file.write(f"{run.name}\n")
    time.sleep(plan.get("boot", 0))
    if plan.get("status") == 2:
        print("error: no such data", file=sys.stderr)
        return 2
    run.mkdir(parents=True, exist_ok=True)
    lock = open(run / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("error: is being trained by another process", file=sys.stderr)
        return 2
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    (run / "checkpoints").mkdir(exist_ok=True)
    start = max([int(p.name) for p in (run / "checkpoints").iterdir()], default=0)
    with open(run / "starts", "a") as file:
        file.write(f"{start}\n")
    first = plan.get("always") or len((run / "starts").read_text().splitlines()) == 1
    given = {"seed": seed, "optimizer": {"learning_rate": rate}}
    (run / "config.json").write_text(json.dumps(given))
    changed = {name.removeprefix("config."): text for name, text in flags.items() if name.startswith("config.")}
    (run / "overrides.json").write_text(json.dumps({"config": flags["config"], "overrides": changed}))
    (run / "FAILED.txt").unlink(missing_ok=True)
    for step in range(start + 1, steps + 1):
        time.sleep(plan.get("pause", 0.01))
        if first and step == plan.get("fail_at"):
            (run / "FAILED.txt").write_text(plan["fail_with"] + "\n")
            return 1
        loss = abs(math.log10(rate) + 3) + seed / 10 + 1 / step
        with open(run / "metrics.jsonl", "a") as file:
            file.write(json.dumps({"step": step, "loss": loss}) + "\n")
        (run / "checkpoints" / str(step)).mkdir()
        if first and step == plan.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if stop and step < steps:
            return 143
    (run / "DONE").write_text(f"{steps}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
