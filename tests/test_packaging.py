"""What is pinned, declared and shipped agrees with itself."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gen_jax
from gen_jax.config import flatten, load, shipped
from gen_jax.config.fields import find, of_method, rows
from gen_jax.methods import METHODS
from gen_jax.version import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_pins_for_uv_and_for_pip_agree():
    for_pip = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line]
    assert for_pip == PROJECT["tool"]["uv"]["constraint-dependencies"]


def test_pins_cover_every_dependency():
    pinned = {
        line.split("==")[0].replace("_", "-").lower() for line in PROJECT["tool"]["uv"]["constraint-dependencies"]
    }
    for need in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]:
        assert re.match(r"[\w.-]+", need).group().replace("_", "-").lower() in pinned


def test_version_is_written_once_and_cited():
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_field_of_every_shipped_config_has_a_meaning():
    for name in shipped():
        config = load(name)
        for path in flatten(config):
            assert find(rows(config), path).meaning, path
    assert all(field.meaning for method in METHODS for field in of_method(method).values())


def test_shipped_configs_say_command_time_and_result():
    for name in shipped():
        text = (ROOT / "configs" / f"{name}.py").read_text().split('"""')[1]
        assert f"gen-jax train --config={name}" in text or name == "gan_digits" and "gen-jax train" in text
        assert "Measured" in text and re.search(r"\d (s|min|h)\b", text), name


def _python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("statement", ["import gen_jax.losses", "import gen_jax; gen_jax.losses.adversarial"])
def test_losses_import_jax_and_no_other_room(statement):
    out = _python(f"import sys; {statement}; print([m for m in sys.modules if m.startswith(('flax', 'gen_jax.'))])")
    rooms = {m.split(".")[1] for m in re.findall(r"gen_jax\.[\w.]+", out)}
    assert "flax" not in out and rooms <= {"losses", "errors", "version"}


def test_a_bare_import_is_cheap():
    code = "import sys, gen_jax; dir(gen_jax); print({m.split('.')[0] for m in sys.modules} - sys.stdlib_module_names)"
    before = _python(code.replace("gen_jax; dir(gen_jax)", "re"))  # what the interpreter itself loads at its start
    assert ast.literal_eval(_python(code)) - ast.literal_eval(before) == {"gen_jax"}


def test_every_room_is_an_attribute():
    files = (ROOT / "gen_jax").iterdir()
    names = {file.stem for file in files if file.suffix == ".py" or (file / "__init__.py").exists()}
    rooms = sorted(name for name in names if not name.startswith("_"))
    assert {"losses", "metrics", "data", "networks", "methods", "train"} < set(rooms)
    assert dir(gen_jax) == sorted([*rooms, "__version__", "load"])
    code = f"import gen_jax; print([getattr(gen_jax, room).__name__ for room in {rooms}], gen_jax.load.__module__)"
    assert _python(code) == f"{[f'gen_jax.{room}' for room in rooms]} gen_jax.run"


def test_an_unknown_attribute_is_an_error():
    for name in ("no_such_room", "__main__", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module 'gen_jax' has no attribute '{name}'"):
            getattr(gen_jax, name)


def test_no_import_starts_jax():
    """Several processes must join before JAX looks for devices: an array made at import would be too early."""
    code = (
        "import importlib, pkgutil, gen_jax; from jax._src import xla_bridge\n"
        "for m in pkgutil.walk_packages(gen_jax.__path__, 'gen_jax.'):\n"
        "    m.name.endswith('__main__') or importlib.import_module(m.name)\n"
        "    assert not xla_bridge.backends_are_initialized(), m.name\n"
        "print('none')"
    )
    assert _python(code).strip() == "none"


def test_core_imports_neither_tensorflow_nor_torch():
    rooms = "gen_jax.cli.main, gen_jax.train, gen_jax.evaluation.evaluate"
    code = f"import sys, {rooms}; print([m in sys.modules for m in ('tensorflow', 'torch')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[False, False]"


PACKAGE = ROOT / "gen_jax"


def imports(file):
    """The modules of gen_jax that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gen_jax":
            for name in node.names:
                whole = PACKAGE.parent / f"{node.module}.{name.name}".replace(".", "/")
                is_module = whole.with_suffix(".py").exists() or (whole / "__init__.py").exists()
                yield f"{node.module}.{name.name}" if is_module else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("gen_jax."))


def test_imports_go_in_no_circle():
    graph = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[name] = set(imports(file)) - {name, "gen_jax"}
    while leaves := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert not graph, {name: sorted(others & graph.keys()) for name, others in graph.items()}


def test_no_room_knows_a_family_by_name():
    """Outside methods/ nothing imports a family or asks for one by name; two names are extractors' too."""
    for file in PACKAGE.rglob("*.py"):
        if file.parent.name == "methods":
            continue
        assert not [m for m in imports(file) if m.startswith("gen_jax.methods.")], file
        words = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
        assert not {word for word in words if isinstance(word, str)} & (METHODS.keys() - {"classifier", "random"}), file


def test_the_reading_path_is_short():
    lines = lambda *files: sum(len((PACKAGE / file).read_text().splitlines()) for file in files)
    path = ("method.py", "methods/vae.py", "train.py")
    assert lines(*path) < 560 and lines(*path, "program.py") < 720
