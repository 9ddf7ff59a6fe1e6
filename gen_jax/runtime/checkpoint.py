"""Checkpoints of a State, by Orbax; the only file that knows it.

    8/state/          the arrays, in Orbax's own layout
    8/meta/metadata   JSON: format, step, what the caller adds, and for each leaf its shape, dtype and CRC-32
    6.damaged/        a checkpoint that was not read back as it was saved, set aside

Orbax does not notice a flipped bit in its array data, so every leaf is compared with its checksum when it
is restored. Saving is asynchronous; what a kill or a full disk leaves half-written is swept up at the next
start, and is never taken for a checkpoint: Orbax gives a folder its name when all is in it.

Orbax's CheckpointManager is not used. It offers steps whose save has failed, forgets steps that it meant to
delete after a save that failed, and does not open a folder in which one of its own JSON files is damaged.
What is on disk is the only list of steps here.
"""

import itertools
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from gen_jax.errors import InputError
from gen_jax.runtime import files, watch

FORMAT = 2
UNFINISHED = ".orbax-checkpoint-tmp"
YEARS = 100_000_000  # three of them, in seconds


class Damaged(InputError):
    """A checkpoint that is not read back as it was saved."""


class NotSaved(RuntimeError):
    """A checkpoint could not be written; the earlier ones are as they were."""


@jax.jit
def _copy(tree):
    return jax.tree.map(jnp.copy, tree)


def committed(directory: Path) -> list[int]:
    """The steps of the checkpoints in `directory`, oldest first: the folders named by a number."""
    names = [path.name for path in directory.glob("*") if path.is_dir()]
    return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))


class Checkpoints:
    """The checkpoints in one directory, to be read; nothing is changed there."""

    def __init__(self, directory: Path):
        self.directory = directory

    def steps(self) -> list[int]:
        """The steps that are on disk, oldest first."""
        return committed(self.directory)

    def restore(self, step: int, abstract: Any) -> tuple[Any, dict]:
        """The State of `step`, on the shardings of `abstract`, and its meta data.

        Every process reads the whole checkpoint into its memory, verifies it, and puts its part on its devices.
        So it needs no other process, and one that fails leaves none waiting.

        Raises:
          Damaged: a leaf or a file is not what was saved.
          InputError: there is none of that step, or it is of another format or another model.
        """
        path = self.directory / str(step)
        if not path.is_dir():
            raise InputError(f"no checkpoint of step {step} in {self.directory}; there are: {self.steps()}")
        record = _read_record(path)
        _check_fits(path, record["leaves"], abstract)
        state = _read_state(path, record["leaves"], abstract)
        place = lambda x, like: jax.make_array_from_callback(x.shape, like.sharding, lambda index: x[index])
        return jax.tree.map(place, state, abstract), record["meta"]


class Writer(Checkpoints):
    """The checkpoints in one directory, of which a training run adds new ones and leaves the `keep` latest."""

    def __init__(self, directory: Path, orbax, keep: int):
        super().__init__(directory)
        self._orbax, self._keep = orbax, keep
        self._started = ""  # what is being written, in words

    def save(self, step: int, state: Any, meta: dict) -> None:
        """Starts writing `state`. The caller may donate it at once: it is copied first.

        On CPU the host's view of a buffer is the buffer, and the next step would write over it. The checksums are
        taken here, of the copy on the host, which Orbax waits for anyway. A leaf that lies in parts on several
        processes is gathered for that, so every process needs room on its host for the largest leaf.

        Args:
          meta: what JSON can hold, with words for keys; `restore` gives it back.

        Raises:
          NotSaved: this one or the one before could not be written; what was there before is still there.
        """
        import orbax.checkpoint as ocp

        self.wait()
        watch.at(f"saving checkpoint {step}")
        state = _copy(state)
        leaves = {name: _describe(_whole(leaf)) for name, leaf in _named(state)}
        # As JSON gives it back: a checksum of tuples would not be one of the lists that they become.
        record = json.loads(json.dumps({"format": FORMAT, "step": step, "meta": meta, "leaves": leaves}))
        record["crc32"] = _checksum_of_json(record)
        arguments = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(record))
        path = self.directory / str(step)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        self._started = f"checkpoint {path} of {size:,} bytes"
        with self._written():
            # Orbax would notice too, in several threads at once, of which each prints what it noticed.
            files.try_room(self.directory, size)
            self._orbax.save(path.absolute(), args=arguments)

    def wait(self) -> None:
        """Returns when what `save` started is on disk, and what it makes superfluous is not.

        Raises:
          NotSaved: it could not be written; what was there before is still there.
        """
        with self._written():
            self._orbax.wait_until_finished()
        saved, self._started = self._started, ""
        if saved and jax.process_index() == 0:  # only a new one makes an old one superfluous
            for step in self.steps()[: -self._keep]:
                # A folder that is half deleted must not pass for a checkpoint.
                leaving = self.directory / f"{step}{UNFINISHED}-deleted"
                (self.directory / str(step)).rename(leaving)
                shutil.rmtree(leaving)

    @contextmanager
    def _written(self):
        try:
            yield
        except Exception as error:  # a full disk surfaces as any of several types, by what was being written
            with suppress(Exception):  # Orbax tells of one failed save twice, for the arrays and for its own JSON
                self._orbax.wait_until_finished()
            lost, self._started = self._started, ""
            raise NotSaved(f"{lost} could not be written ({_reason(error)})") from error

    def latest(self, abstract: Any, say: Callable[[str], None]) -> tuple[Any, dict, int] | None:
        """The newest State that is read back as it was saved, its meta data and step; None where there is none.

        Newer ones that are damaged are renamed, 8 to 8.damaged, once it is known what to go on from.

        Args:
          say: takes one line about each that was set aside.

        Raises:
          InputError: one is of another format or model, or all are damaged; nothing has been changed on disk.
        """
        damaged = {}
        for step in self._downwards():
            found, error = None, None
            try:
                found = self.restore(step, abstract)
            except InputError as refused:
                error = refused
            verdict = _worst(0 if error is None else 1 if isinstance(error, Damaged) else 2)
            if verdict == 0:
                self._set_aside(damaged, step, say)
                return *found, step
            error = error or Damaged(f"checkpoint {self.directory / str(step)} is refused by another process")
            if verdict == 2:
                raise error
            damaged[step] = error
        if damaged:
            newest, *others = damaged
            also = f", and so {'are' if others[1:] else 'is'} {', '.join(map(str, others))}" if others else ""
            raise InputError(
                f"{damaged[newest]}{also}; there is no other to go on from: move {self.directory} away to start over"
            )
        return None

    def _downwards(self) -> Iterator[int]:
        """The steps, newest first, as process 0 sees them."""
        step = _of_process_0(max(self.steps(), default=-1))
        while step >= 0:
            yield step
            step = _of_process_0(max((s for s in self.steps() if s < step), default=-1))

    def _set_aside(self, damaged: dict[int, InputError], step: int, say) -> None:
        failed = None
        if jax.process_index() == 0:
            try:
                for bad, error in damaged.items():
                    names = (f"{bad}.damaged{n}" for n in itertools.chain([""], (f"-{i}" for i in itertools.count(2))))
                    name = next(name for name in names if not (self.directory / name).exists())
                    (self.directory / str(bad)).rename(self.directory / name)
                    say(f"{error}: set aside as {name}; going on from step {step}")
            except OSError as error:
                failed = InputError(f"cannot set aside a damaged checkpoint in {self.directory} ({_reason(error)})")
        if _worst(int(failed is not None)):
            raise failed or InputError("process 0 cannot set aside a damaged checkpoint; its error line says why")


@contextmanager
def opened(directory: Path, *, keep: int = 1, read_only: bool = False) -> Iterator[Checkpoints | Writer]:
    """The checkpoints in `directory`, of which saving leaves the `keep` latest; waits for saves at the end."""
    directory = Path(directory)
    if read_only:
        yield Checkpoints(directory)
        return
    import orbax.checkpoint as ocp

    directory.mkdir(parents=True, exist_ok=True)
    _sweep(directory)
    # Where the folders are made on the side and that fails, the threads that are to write in them wait for five
    # minutes, and the process with them. And Orbax waits by the clock of the day: one that jumps must not end a save.
    made_first = ocp.AsyncOptions(create_directories_asynchronously=False, timeout_secs=YEARS)
    both = ocp.CompositeCheckpointHandler(composite_options=ocp.CompositeOptions(async_options=made_first))
    with closing(ocp.AsyncCheckpointer(both, async_options=made_first)) as orbax:
        writer = Writer(directory, orbax, keep)
        try:
            yield writer
        except BaseException as error:
            try:
                writer.wait()
            except NotSaved as lost:  # what ended the run is the news
                error.add_note(str(lost))
            _sweep(directory)
            # A save makes folders anew that were removed meanwhile, the run's own with them: no husk is left.
            for folder in (directory, directory.parent):
                with suppress(OSError):
                    folder.rmdir()
            raise
        writer.wait()


def _sweep(directory: Path) -> None:
    """Removes what a save left half-written."""
    if jax.process_index() == 0:
        for path in directory.glob(f"*{UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)


def check_room(place: Path, abstract: Any) -> None:
    """Refuses a run directory, there already or not, in which no State of these shapes can be written."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(abstract))
    files.check_room(place, size, f": a checkpoint takes {size:,} bytes")


def _named(tree) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _whole(leaf) -> np.ndarray:
    """The value of `leaf` on the host; all processes must call it together."""
    if leaf.is_fully_addressable or leaf.is_fully_replicated:
        return np.asarray(leaf)
    return multihost_utils.process_allgather(leaf, tiled=True)


def _describe(value: np.ndarray) -> dict:
    """The shape, the dtype, and the CRC-32 of the bytes in C order."""
    data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    return {"shape": list(value.shape), "dtype": str(value.dtype), "crc32": zlib.crc32(data)}


def _checksum_of_json(record: dict) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def _reason(error: Exception) -> str:
    """What the system said, where it said something; TensorStore wraps that in lines of its own."""
    code = re.search(r"os_error_code='(\d+)'", str(error))
    if isinstance(error, OSError):
        return files.reason(error)
    if code:
        return files.reason(OSError(int(code[1]), os.strerror(int(code[1]))))
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def _of_process_0(value: int) -> int:
    watch.at("the checkpoints")
    return int(multihost_utils.broadcast_one_to_all(np.int32(value))) if jax.process_count() > 1 else value


def _worst(verdict: int) -> int:
    """The largest verdict of any process; all must ask."""
    watch.at("the checkpoints")
    return int(multihost_utils.process_allgather(np.int32(verdict)).max()) if jax.process_count() > 1 else verdict


def _read_record(path: Path) -> dict:
    """What `save` wrote beside the arrays, with its checksum verified."""
    file = path / "meta" / "metadata"
    try:
        record = json.loads(file.read_bytes())
    except OSError as error:
        raise Damaged(f"checkpoint {path} is damaged ({file.relative_to(path)}: {_reason(error)})") from error
    except ValueError as error:
        raise Damaged(f"checkpoint {path} is damaged ({file.relative_to(path)} is no JSON)") from error
    record = record if isinstance(record, dict) else {}
    checksum = record.pop("crc32", None)
    known = record.get("format")
    if checksum is None and known == 1:
        raise InputError(f"checkpoint {path} has format 1, this version reads {FORMAT}; gen_jax 0.1 reads it")
    if checksum != _checksum_of_json(record):
        raise Damaged(f"checkpoint {path} is damaged ({file.relative_to(path)}: wrong checksum)")
    if known != FORMAT:
        raise InputError(
            f"checkpoint {path} has format {known}, this version reads {FORMAT};"
            " use the version of gen_jax named in the run's env.json"
        )
    if str(record["step"]) != path.name:
        raise Damaged(f"checkpoint {path} is damaged (it is that of step {record['step']})")
    return record


def _check_fits(path: Path, leaves: dict, abstract) -> None:
    """Refuses a checkpoint of another model, which is no damage."""
    wanted = {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in _named(abstract)}
    there = {name: f"{leaf['dtype']}{leaf['shape']}" for name, leaf in leaves.items()}
    for name in wanted | there:
        if wanted.get(name) != there.get(name):
            raise InputError(
                f"checkpoint {path} is of another model: leaf {name} is {there.get(name, 'missing')} there,"
                f" {wanted.get(name, 'missing')} here; use the config and the version of gen_jax that saved it"
            )


def _read_state(path: Path, leaves: dict, abstract):
    """The arrays of a checkpoint, on the host and verified, in the tree of `abstract`.

    Read by TensorStore, which Orbax writes with: Orbax reads all leaves at once in an event loop, and where one
    cannot be read it closes the loop on the others, which then print a traceback each.
    """
    import tensorstore

    database = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{(path / 'state').absolute()}/"}}
    shared = tensorstore.Context({"cache_pool": {"total_bytes_limit": 100_000_000}})

    def opening(keys):
        name = jax.tree_util.keystr(keys, simple=True, separator=".")
        spec = {"driver": "zarr", "kvstore": {**database, "path": f"{name}/"}}
        return tensorstore.open(spec, open=True, read=True, context=shared)

    started = [(jax.tree_util.keystr(keys), opening(keys)) for keys, _ in jax.tree_util.tree_leaves_with_path(abstract)]
    values = []
    for name, store in started:
        try:
            value = store.result().read().result()
        except Exception as error:  # of one of a dozen types, by where the damage is; the first word says what it is
            reason = _reason(error).split(":")[0]
            raise Damaged(f"checkpoint {path} is damaged (leaf {name}: {reason})") from error
        if _describe(value) != leaves[name]:
            raise Damaged(f"checkpoint {path} is damaged (leaf {name}: wrong checksum)")
        values.append(value)
    return jax.tree.unflatten(jax.tree.structure(abstract), values)
