"""What is pinned, declared and shipped agrees with itself."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

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


def test_losses_import_jax_and_no_other_room():
    code = "import sys, gen_jax.losses; print([m for m in sys.modules if m.startswith(('flax', 'gen_jax.'))])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    rooms = {m.split(".")[1] for m in re.findall(r"gen_jax\.[\w.]+", out)}
    assert "flax" not in out and rooms <= {"losses", "errors", "version"}


def test_core_imports_neither_tensorflow_nor_torch():
    rooms = "gen_jax.cli.main, gen_jax.train, gen_jax.evaluation.evaluate"
    code = f"import sys, {rooms}; print([m in sys.modules for m in ('tensorflow', 'torch')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[False, False]"
