"""From a config file and overrides to a checked config."""

import ast
import difflib
import importlib.util
import inspect
import json
import math
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import ml_collections

from gen_jax import own
from gen_jax.config import fields
from gen_jax.config.base import put
from gen_jax.errors import InputError
from gen_jax.field import Field, flatten, settings, whole

LARGEST = 2**31 - 1  # a whole number that is not bounded otherwise: steps and sizes are int32 in a compiled program


def directory() -> Path:
    """Where the shipped configs are: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent.parent
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def shipped() -> list[str]:
    """The names of the shipped configs."""
    return sorted(p.stem for p in directory().glob("*.py") if not p.stem.startswith("_"))


def load(name: str, overrides: Iterable[tuple[str, str]] = ()) -> ml_collections.ConfigDict:
    """The config called `name` (a shipped one, or path/to/file.py[:argument]) with overrides applied.

    Args:
      overrides: (dotted path, text) pairs, applied in order; architectures first, for they decide which
        fields there are.

    Raises:
      InputError: no such file, a file that fails, an unknown field, a value of the wrong type or range.
    """
    return resolve(_execute(name), overrides)


def resolve(config: ml_collections.ConfigDict, overrides: Iterable[tuple[str, str]] = ()) -> ml_collections.ConfigDict:
    """A config that was made in Python (`base` and what it needs), completed, overridden, checked and locked.

    Raises:
      InputError: as `load`.
    """
    _check_method(config)
    # What decides which fields there are comes first.
    choosing = [(path, text) for path, text in overrides if path.endswith(".name") or own.is_reference(text)]
    for path, text in choosing:
        override(config, path, text)
    complete(config, renamed={path.split(".")[1] for path, _ in choosing if path.startswith("model.")})
    for pair in overrides:
        if pair not in choosing:
            override(config, *pair)
    check(config)
    return config.lock()


def split_name(name: str) -> tuple[str, str]:
    """The file (or the name of a shipped config) and the argument of NAME[:ARG] or path/to/file.py[:ARG].

    A path may have colons of its own: only one after ".py" begins an argument.
    """
    if name.endswith(".py"):
        return name, ""
    file, suffix, argument = name.partition(".py:")
    return (f"{file}.py", argument) if suffix else tuple(name.partition(":")[::2])


@contextmanager
def blamed(what: str, path: Path) -> Iterator[None]:
    """Around code of a user's file, which may fail in any way: InputError says of `what` how, and where in the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise InputError(f"{what} fails: {_line(error, path)}{type(error).__name__}: {message}") from error


def executed(name: str, path: Path) -> ModuleType:
    """A file of Python, run as the module `name`; it is not kept among the modules."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _line(error: Exception, path: Path) -> str:
    """Where in the file an error came up, "line 3: ", whatever it called in between; "" where it is not known."""
    here = str(path.absolute())  # as the loader of a module names it
    inside = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == here]
    if isinstance(error, SyntaxError) and error.filename == here:
        inside.append(error.lineno)
    return f"line {inside[-1]}: " if inside else ""


def _execute(name: str) -> ml_collections.ConfigDict:
    file, argument = split_name(name)
    path = Path(file) if file.endswith(".py") else directory() / f"{file}.py"
    if not path.is_file():
        near = difflib.get_close_matches(Path(file).stem, shipped(), n=1)
        hint = f"did you mean {near[0]}? there are: " if near else "there are: "
        raise InputError(f"config file {file} not found; {hint}{', '.join(shipped())}")
    with blamed(f"config file {path}", path):
        module = executed(f"gen_jax_config_{path.stem}", path)
        get_config = getattr(module, "get_config", None)
        if get_config is None:
            raise InputError(f"config file {path} has no get_config(); see configs/vae_digits.py for an example")
        takes_argument = bool(inspect.signature(get_config).parameters)
        if argument and not takes_argument:
            raise InputError(f"--config={name}: get_config() of {path} takes no argument; leave out :{argument}")
        config = get_config(argument) if argument else get_config()
    if not isinstance(config, ml_collections.ConfigDict):
        raise InputError(f"config file {path}: get_config() must return a ConfigDict; start from gen_jax.config.base")
    return config.unlock()


def complete(config: ml_collections.ConfigDict, renamed: Iterable[str] = ()) -> None:
    """Gives each network the fields that its architecture has, and each section those of the user's own pieces.

    In a section of `renamed`, whose architecture an override chose, fields of the old one are dropped; elsewhere
    a field that the architecture lacks is refused.
    """
    for section, table in fields.networks(config.method).items():
        chosen = config.get("model", {}).get(section)
        if chosen is None or "name" not in chosen:
            raise InputError(f"model.{section}.name: missing; there are: {', '.join(sorted(table))}")
        if chosen.name not in table and not own.is_reference(chosen.name):
            raise InputError(
                f"model.{section}.name={chosen.name}: no such {section}; there are: {', '.join(sorted(table))}"
            )
        known = settings(own.pick(table, chosen.name))
        foreign = sorted(name for name in chosen if name != "name" and name not in known)
        if foreign and section not in renamed:
            has = f"it has: {', '.join(known)}"
            raise InputError(f"model.{section}.{foreign[0]}: {chosen.name} has no such field; {has}")
        for name in foreign:
            del chosen[name]
        for name, field in known.items():
            if name not in chosen:
                chosen[name] = field.default
    present = flatten(config)
    for path, field in fields.of_pieces(config).items():
        if path not in present:
            put(config, path, field.default)


def override(config: ml_collections.ConfigDict, path: str, text: str) -> None:
    """Sets the field at `path` from the text of a flag."""
    flag = f"--config.{path}"
    *sections, last = path.split(".")
    at = config
    for depth, name in enumerate([*sections, last]):
        if not isinstance(at, ml_collections.ConfigDict):
            parent = ".".join(path.split(".")[:depth])
            raise InputError(f"{flag}: {parent} is a plain value, it has no field {name}")
        if name not in at:
            here = ".".join(path.split(".")[:depth])
            known = list(at)
            near = difflib.get_close_matches(name, known, n=1)
            where = f" {here} has" if here else " there are"
            hint = f"did you mean {near[0]}?" if near else f"{where.strip()}: {', '.join(sorted(known))}"
            if path == "model.conditional" and "condition" in known:
                hint = "it is model.condition now, such as label"
            raise InputError(f"{flag}: no such field; {hint}")
        at = at[name] if depth < len(sections) else at
    field = fields.find(fields.rows(config), path)
    if field is None:
        raise InputError(f"{flag}: is a section; set one of its fields: {', '.join(sorted(at[last].keys()))}")
    put(config, path, parse(flag, field, text))


def parse(flag: str, field: Field, text: str):
    """The value that `text` means for `field`."""
    wrong = InputError(f"{flag}={text}: expected {_expected(field)}")
    if field.kind is str:
        return text
    if field.kind is bool:
        if text.lower() not in ("true", "false"):
            raise InputError(f"{flag}={text}: expected true or false")
        return text.lower() == "true"
    if field.kind is tuple and field.choices is not None:
        return tuple(word for word in text.strip("()").replace(" ", "").split(",") if word not in ("", "none"))
    try:
        if field.schedule and text.strip().startswith("{"):
            return dict(ast.literal_eval(text))
        if field.kind is int:
            return whole(text)
        if field.kind is tuple:
            value = ast.literal_eval(text if text.strip().startswith(("(", "[")) else f"({text},)")
            return tuple(value)
        return float(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise wrong from None


def _expected(field: Field) -> str:
    """What a value of this field must be, in words."""
    if field.schedule:
        return "float, or a schedule such as {'kind': 'cosine', 'start': 1e-3, 'end': 0.0}"
    return f"{field.described}, such as 200,200" if field.described == "tuple of int" else field.described


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses unknown fields, wrong types and values out of range, naming the field."""
    _check_method(config)
    rows, flat = fields.rows(config), flatten(config)
    for path, value in flat.items():
        field = fields.find(rows, path)
        if field is None:
            parent = path.rpartition(".")[0]
            if parent in rows and not rows[parent].schedule:
                raise InputError(f"{parent}: is a plain value, not a section")
            near = difflib.get_close_matches(path, [*rows, *flat], n=2)
            near = [n for n in near if n != path]
            raise InputError(f"{path}: no such field" + (f"; did you mean {near[0]}?" if near else ""))
        _check_value(path, field, value)
    for path in fields.of_method(config.method):
        _require(config, path)


def _check_method(config):
    from gen_jax.methods import METHODS

    _check_value("method", Field("", "", choices=METHODS), config.get("method", ""))


def _require(config, path):
    at = config
    for name in path.split("."):
        if name not in at:
            raise InputError(f"{path}: missing; start the config from gen_jax.config.base")
        at = at[name]


def _check_value(path: str, field: Field, value) -> None:
    kind = field.kind
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits:
        raise InputError(f"{path}={value!r}: expected {_expected(field)}")
    if kind is str or (kind is tuple and field.choices is not None):
        choices = list(field.choices) if field.choices is not None else [value]
        for word in [value] if kind is str else value:
            if word not in choices and not (isinstance(field.choices, Mapping) and own.is_reference(word)):
                near = difflib.get_close_matches(str(word), choices, n=1)
                hint = f"did you mean {near[0]}? there are: " if near else "there are: "
                raise InputError(f"{path}={word}: no such choice; {hint}{', '.join(sorted(choices))}")
        return
    for number in value if kind is tuple else (value,):
        if not isinstance(number, (int, float) if kind is float else int):
            raise InputError(f"{path}={value}: expected {_expected(field)}")
        if not math.isfinite(number):
            raise InputError(f"{path}={value}: expected a finite {_expected(field)}")
        if field.least is not None and number < field.least:
            raise InputError(f"{path}={value}: must be >= {field.least}")
        most = LARGEST if kind is not float and field.most is None else field.most
        if most is not None and number > most:
            raise InputError(f"{path}={value}: must be <= {most}")


def to_json(config: ml_collections.ConfigDict) -> dict:
    """The config as plain dicts, as config.json holds it (tuples become lists)."""
    return json.loads(config.to_json())


def from_json(values: dict) -> ml_collections.ConfigDict:
    """The config that `to_json` wrote; fields that it lacks, being older, take their defaults.

    Raises:
      InputError: a config of gen_jax 0.1, whose checkpoints this version does not read.
    """
    config = ml_collections.ConfigDict(values, type_safe=False)
    if "conditional" in config.get("model", {}):
        raise InputError("this run was trained by gen_jax 0.1; go on with it with that version")
    for path, value in flatten(config).items():
        if isinstance(value, (list, tuple)):
            put(config, path, tuple(value))
    present = flatten(config)
    for path, field in fields.rows(config).items():
        inside = any(p.startswith(f"{path}.") for p in present)  # a schedule stands there
        if path not in present and not inside:
            put(config, path, field.default)
    return config.lock()
