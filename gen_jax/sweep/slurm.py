"""A grid on Slurm: an array of jobs, each the `gen-jax train` of one run; submitit, an extra, submits them.

    gen-jax sweep SWEEP --config=... --launcher=slurm --slurm=partition=gpu,time=600,gpus_per_node=1

Nothing is kept of what was submitted. The same command submits again what is not done by then: a job that meets another
one, or a parent, at work on its run leaves it alone, and one whose run is done ends at once.

Not run on a Slurm cluster: the tests have submitit's local jobs, and an `sbatch` that only writes down what it gets.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gen_jax.errors import InputError
from gen_jax.sweep import workers
from gen_jax.sweep.plan import Run
from gen_jax.sweep.state import hopeless, seen

TIMEOUTS = 1000  # how often a job comes back after its time was over; submitit's own bound is 3
DECIDES = 600.0  # seconds after a SIGTERM in which Slurm ends a job or puts it back into the queue


class Train:
    """What a job does: it trains a run, passes signals on to it, and comes back where it was stopped.

    Slurm sends SIGUSR2 before the time of a job is over, and SIGTERM to one that must leave. submitit answers the
    first by `checkpoint` and by putting the job back into the queue. The second it ignores: here the run saves.
    """

    def __init__(self, run: Run):
        self.run, self.pid, self.told = run, 0, False

    def __call__(self) -> str:
        """Returns how it ended; a run that failed raises, so that its job has failed."""
        claim = workers.claim(self.run)
        if claim is None:
            return f"{self.run.name} is driven by another process"
        signal.signal(signal.SIGTERM, lambda signum, frame: self.save())
        # The run inherits that SIGUSR2 is blocked: it would die of one that Slurm sends to all processes of the job.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        process = workers.start(self.run, claim, 0, {}).process
        self.pid = process.pid
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        while process.poll() is None:
            time.sleep(0.2)
        if self.told:
            time.sleep(DECIDES)
        if process.returncode:
            why = seen(self.run.path).why or workers.last_line(self.run.log)
            raise RuntimeError(f"{self.run.name}: {workers.in_words(process.returncode)}: {why}")
        return f"{self.run.name} is done"

    def save(self) -> None:
        """Asks the run to save and to end, once: a second signal would end it before it has saved."""
        if self.pid and not self.told:
            self.told = True
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def checkpoint(self):
        """Called by submitit, in a signal handler, before it puts the job back into the queue: waits until it is saved.

        What is submitted then is the same command.
        """
        from submitit.helpers import DelayedSubmission

        self.save()
        with suppress(ChildProcessError):  # not Popen.wait, whose lock the interrupted code may hold
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Train(self.run))


def executor(folder: Path, parameters: str, parallel: int | None):
    """submitit's executor for Slurm.

    Args:
      parameters: NAME=VALUE,... as submitit and sbatch know them: partition, time (minutes), gpus_per_node, mem, ...
      parallel: how many jobs may run at once; None: as many as Slurm lets.

    Raises:
      InputError: submitit or Slurm is not there, or it knows no such parameter.
    """
    try:
        import submitit
    except ImportError as error:
        raise InputError("--launcher=slurm needs submitit: pip install 'gen_jax[slurm]'") from error
    pairs = [pair.partition("=") for pair in parameters.split(",") if pair]
    if wrong := next((name for name, equals, value in pairs if not (equals and value)), None):
        raise InputError(f"--slurm={parameters}: {wrong} has no value; expected NAME=VALUE,...")
    given = {name: int(value) if value.isdecimal() else value for name, _, value in pairs}
    if parallel:
        given["array_parallelism"] = parallel
    more = {"requeue": True}  # back into the queue where another job needs the machine
    try:
        made = submitit.SlurmExecutor(folder / "slurm", max_num_timeout=TIMEOUTS)
        made.update_parameters(job_name=folder.name, additional_parameters=more, stderr_to_stdout=True, **given)
    except RuntimeError as error:
        raise InputError(f"--launcher=slurm: no Slurm here ({error}); submit from one of its hosts") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"--slurm={parameters}: {str(error).splitlines()[0]}; see submitit's SlurmExecutor") from error
    return made


def submit(runs: Sequence[Run], executor) -> list:
    """The jobs of all runs that have something left to do, as one array."""
    seens = {run: seen(run.path) for run in runs}
    left = [run for run, now in seens.items() if now.state in ("new", "begun")]
    left += [run for run, now in seens.items() if now.state == "failed" and not hopeless(now.why)]
    if not left:
        return []
    with executor.batch():
        return [executor.submit(Train(run)) for run in sorted(left, key=lambda run: run.name)]
