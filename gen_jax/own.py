"""Pieces of your own: where a config names an entry of a table, FILE.py:NAME names an object in a file of yours.

    --config.model.generator.name=mine/net.py:Generator      a Flax module, as those of gen_jax.networks
    --config.objective.loss=mine/loss.py:margin              a function, as those of gen_jax.losses.adversarial
    --config.data.name=mine/data.py:dots                     a function -> Splits, as `open_splits` in gen_jax.data
    base("mine/method.py:make")                              `make` of a method, as those of gen_jax.methods

A file says what its pieces can be told as the files of the house do: a network by `setting`s, the others by a FIELDS
of dotted paths, such as {"objective.margin": Field(1.0, "...")}. The folder of a file is a package: it imports its
neighbours by `from .other import thing`. A run keeps a copy of the sources that it was made from, and is opened with
those: opening it runs them. It goes on only while the files are what they were.
"""

import hashlib
import importlib
import importlib.util
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from gen_jax.errors import InputError
from gen_jax.field import Field, flatten

REFERENCE = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)")
KEPT = "own"  # the folder of a run directory that holds the copies


def is_reference(name: Any) -> bool:
    """Whether this is FILE.py:NAME."""
    return isinstance(name, str) and REFERENCE.fullmatch(name) is not None


def pick(table: Mapping[str, Any], name: str) -> Any:
    """The entry of `table` called `name`, or the object that FILE.py:NAME names.

    Raises:
      InputError: no such file, one that fails, or nothing of this name in it.
    """
    return load(name)[1] if is_reference(name) else table[name]


def rows(name: str, section: str = "") -> dict[str, Field]:
    """The FIELDS beside FILE.py:NAME that stand in `section` ("" for all), {} for a name of the house."""
    if not is_reference(name):
        return {}
    found = getattr(load(name)[0], "FIELDS", {})
    return {path: field for path, field in found.items() if not section or path.startswith(f"{section}.")}


def given(name: str, config: Mapping, section: str) -> dict[str, Any]:
    """What config[section] says of the FIELDS beside FILE.py:NAME, by their last word; {} for a name of the house."""
    words = (path.removeprefix(f"{section}.") for path in rows(name, section))
    return {word: config[section][word] for word in words}


def load(reference: str) -> tuple[ModuleType, Any]:
    """The module of FILE.py:NAME, and the object called NAME in it; a file that has changed is read anew."""
    match = REFERENCE.fullmatch(reference)
    file = Path(match["file"])
    if not file.is_file():
        raise InputError(f"{reference}: no file {file}")
    package = _package(file.parent)
    name = f"{package.__name__}.{file.stem}"
    if any(_changed(module) for module in _modules(package)):
        for module in _modules(package):
            del sys.modules[module.__name__]
    try:
        module = importlib.import_module(name)
    except InputError:
        raise
    except Exception as error:  # a user's file may fail in any way; where it did is in the message
        raise InputError(f"{reference}: {_where(error, file.parent)}{type(error).__name__}: {error}") from error
    for loaded in _modules(package):
        loaded.__dict__.setdefault("__gen_jax_source__", _source(loaded))
    if not hasattr(module, match["name"]):
        public = sorted(n for n, x in vars(module).items() if getattr(x, "__module__", "") == name and n[0] != "_")
        raise InputError(f"{reference}: no {match['name']} in {file}; there are: {', '.join(public)}")
    return module, getattr(module, match["name"])


def _package(folder: Path) -> ModuleType:
    """The folder as a package whose name no other folder has."""
    folder = folder.resolve()
    name = f"gen_jax_own_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    importlib.invalidate_caches()
    return sys.modules[name]


def _modules(package: ModuleType) -> list[ModuleType]:
    return [module for name, module in sorted(sys.modules.items()) if name.startswith(f"{package.__name__}.")]


def _source(module: ModuleType) -> bytes:
    return Path(module.__file__).read_bytes()


def _changed(module: ModuleType) -> bool:
    before = getattr(module, "__gen_jax_source__", None)
    return before is not None and (not Path(module.__file__).is_file() or _source(module) != before)


def _where(error: Exception, folder: Path) -> str:
    """The line of the user's file that an error passed last, and a hint where it is about a neighbour."""
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or '').name} line {error.lineno}: "
    if isinstance(error, ModuleNotFoundError) and (folder / f"{error.name}.py").is_file():
        return f"import the file beside it by `from .{error.name} import ...`; "
    trace, line = error.__traceback__, ""
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(folder.resolve()):
            line = f"{file.name} line {trace.tb_lineno}: "
        trace = trace.tb_next
    return line


def references(config: Mapping) -> list[str]:
    """Every FILE.py:NAME in a config."""
    return sorted({value for value in flatten(config).values() if is_reference(value)})


def sources(config: Mapping) -> dict[str, bytes]:
    """Path below the folder KEPT -> source of every file that the pieces of a config came from."""
    found = {}
    for reference in references(config):
        folder = Path(REFERENCE.fullmatch(reference)["file"]).parent
        load(reference)
        for module in _modules(_package(folder)):
            inside = Path(module.__file__).relative_to(folder.resolve())
            found[f"{_kept_folder(reference)}/{inside.as_posix()}"] = module.__gen_jax_source__
    return found


def check_same(config: Mapping, workdir: Path) -> None:
    """Refuses to go on with other sources than those that the run keeps."""
    if not (workdir / KEPT).is_dir():
        return
    for path, source in sources(config).items():
        kept = workdir / KEPT / path
        if not kept.is_file() or kept.read_bytes() != source:
            raise InputError(
                f"{Path(path).name} is not what the run in {workdir} began with (its copy: {kept});"
                " choose another --workdir, or bring the old file back"
            )


def keep(config: Mapping, workdir: Path) -> None:
    """Copies the sources of the pieces of a config into the run directory, all or none."""
    found = sources(config)
    if not found or (workdir / KEPT).is_dir():
        return
    temporary = workdir / f".{KEPT}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    for path, source in found.items():
        (temporary / path).parent.mkdir(parents=True, exist_ok=True)
        (temporary / path).write_bytes(source)
    temporary.rename(workdir / KEPT)


def kept(config: Mapping, workdir: Path) -> dict:
    """The config of a run, as plain dicts, with each piece taken from the copy in its directory."""

    def here(value):
        if isinstance(value, Mapping):
            return {name: here(inside) for name, inside in value.items()}
        if is_reference(value) and (workdir / KEPT).is_dir():
            match = REFERENCE.fullmatch(value)
            return f"{workdir / KEPT / _kept_folder(value) / Path(match['file']).name}:{match['name']}"
        return value

    return here(config)


def _kept_folder(reference: str) -> str:
    """One for each folder that a config names, so that files of one name do not meet."""
    folder = str(Path(REFERENCE.fullmatch(reference)["file"]).parent)
    return hashlib.sha256(folder.encode()).hexdigest()[:8]
