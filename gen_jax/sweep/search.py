"""Cells by Optuna, asked and told from the parent; the only file that knows it.

The study lies in SWEEP/study.journal, or in a database that several hosts share. Optuna is not trusted with processes:
its heartbeat retries a trial under another number and may run it twice. Here a trial stays RUNNING, with its cell in
its attributes, until its runs are over, whoever drives them.
"""

import re
import warnings
from contextlib import suppress
from pathlib import Path

from gen_jax.errors import InputError
from gen_jax.sweep.grammar import Overrides
from gen_jax.sweep.plan import Plan, one_at_a_time, suggestions
from gen_jax.sweep.prune import Curve
from gen_jax.sweep.results import Results

CELL = "overrides"


def library():
    """Optuna.

    Raises:
      InputError: it is not there; the message names the extra.
    """
    try:
        import optuna
    except ImportError as error:
        raise InputError("a search needs Optuna: pip install 'gen_jax[sweep]', or give values for a grid") from error
    if int(optuna.__version__.partition(".")[0]) < 5:
        raise InputError(f"a search needs Optuna 5, here is {optuna.__version__}: pip install 'gen_jax[sweep]'")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def mend(journal: Path) -> None:
    """Cuts a last line that a kill or a full disk left unfinished, and removes a lock that nobody holds.

    Optuna would append to the torn line, and read the file never again; the lock it would wait for half a minute. The
    caller holds the sweep, so nobody else writes.
    """
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink(missing_ok=True)
    with suppress(FileNotFoundError), open(journal, "r+b") as file:
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)


class Search:
    """The study of a plan, as a source of cells."""

    def __init__(self, plan: Plan, folder: Path, storage: str = ""):
        """Opens the study, or makes it.

        Raises:
          InputError: no Optuna, or a storage that cannot be reached.
        """
        self._optuna, self._plan, self._folder = library(), plan, folder
        self._suggest = suggestions(plan)
        with one_at_a_time(folder):  # several that make its tables at once would fail
            self._study = self._opened(storage)
        if not self._study.get_trials(deepcopy=False) and any((folder / "trials").glob("*")):
            where = f"--storage of {folder}" if storage else folder / "study.journal"
            raise InputError(f"{where} knows nothing of the trials in {folder}; put it back, or use another directory")

    def _opened(self, storage):
        direction = {"min": "minimize", "max": "maximize"}[self._plan.direction]
        options = {"study_name": self._plan.study, "direction": direction, "load_if_exists": True}
        if not storage:
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend

            journal = self._folder / "study.journal"
            mend(journal)
            try:
                return self._optuna.create_study(storage=JournalStorage(JournalFileBackend(str(journal))), **options)
            except (ValueError, KeyError) as error:
                raise InputError(f"{journal} is damaged ({error}); put back a copy of it") from error
        try:
            return self._optuna.create_study(storage=storage, **options)
        except Exception as error:  # of the driver's own kind, or its absence
            shown = re.sub(r"//[^@/]*@", "//...@", storage)
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(f"--storage={shown}: cannot be used ({lines[0][:160]})") from error

    def cells(self) -> list[tuple[int, Overrides]]:
        """Those that were asked for before; of one that a kill left half asked for, the rest is asked now."""
        with one_at_a_time(self._folder):
            trials = [t for t in self._study.get_trials(deepcopy=False) if self._counts(t)]
            return [(t.number, self._cell(t)) for t in trials]

    def _counts(self, trial):
        return trial.number < self._plan.trials and (CELL in trial.user_attrs or not trial.state.is_finished())

    def _cell(self, frozen):
        if CELL in frozen.user_attrs:
            return tuple((path, text) for path, text in frozen.user_attrs[CELL])
        return self._suggested(lambda: self._optuna.trial.Trial(self._study, frozen._trial_id), frozen.number)

    def ask(self) -> tuple[int, Overrides] | None:
        """One more, None where there are enough. Trial numbers are the storage's: none comes twice."""
        with one_at_a_time(self._folder):
            trials = self._study.get_trials(deepcopy=False)
            if len(trials) >= self._plan.trials:
                return None
            self._sampler(len(trials))
            trial = self._study.ask()
            if trial.number >= self._plan.trials:  # another parent asked at the same time
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
                return None
            return trial.number, self._suggested(lambda: trial, trial.number)

    def _suggested(self, trial, number):
        self._sampler(number)
        trial = trial()
        try:
            cell = self._suggest(trial)
        except InputError:
            raise
        except Exception as error:  # the user's space(trial)
            raise InputError(f"--space={self._plan.space} fails: {type(error).__name__}: {error}") from error
        trial.set_user_attr(CELL, [list(pair) for pair in cell])
        return cell

    def _sampler(self, number):
        """A sampler is not stored with a study: one from the sweep's seed and the trial's number, for each trial."""
        seed = (self._plan.first_seed * 1_000_003 + number) % 2**32
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)

    def tell(self, number: int, state: str, value: float | None, curve: Curve) -> None:
        """A cell is over; told a second time, by another parent or after a kill, it stays as it was."""
        optuna = self._optuna
        frozen = self._study.get_trials(deepcopy=False)[number]
        if frozen.state.is_finished():
            return
        states = optuna.trial.TrialState
        with suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
            for step, reached in curve.items():
                if step not in frozen.intermediate_values:
                    trial.report(reached, step)
            if state == "done" and value is not None:
                self._study.tell(number, value)
            else:
                self._study.tell(number, state=states.PRUNED if state == "pruned" and curve else states.FAIL)


def importance(results: Results) -> dict[str, float]:
    """Field -> its share of what the metric varies by; {} without Optuna, or where there are too few cells to say."""
    with suppress(Exception):  # no Optuna; one value; fields that are not in every cell
        optuna = library()
        cells = [cell for cell in results.cells if cell.rank]
        study = optuna.create_study(direction={"min": "minimize", "max": "maximize"}[results.direction])
        space = {path: _distribution(optuna, [dict(c.swept)[path] for c in cells]) for path, _ in cells[0].swept}
        for cell in cells:
            drawn = {path: _numbered(text) for path, text in cell.swept}
            study.add_trial(optuna.trial.create_trial(params=drawn, distributions=space, value=cell.mean))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message=".*too small")  # all equal then, which would look like a finding
            return dict(optuna.importance.get_param_importances(study))
    return {}


def _numbered(text):
    try:
        return float(text)
    except ValueError:
        return text


def _distribution(optuna, texts):
    """What the values of a field could have been drawn from."""
    values = list(dict.fromkeys(_numbered(text) for text in texts))
    if any(isinstance(value, str) for value in values):
        return optuna.distributions.CategoricalDistribution(values)
    low, high = min(values), max(values)
    return optuna.distributions.FloatDistribution(low, high, log=low > 0 and high / low >= 30)
