"""How the user started gen_jax: commands that are printed for them start so too, and then run as they stand."""

import os
import shlex
import shutil
import sys
from pathlib import Path


def command(*words: object) -> str:
    """A line to paste into the terminal: command("sample", run) is "uv run gen-jax sample runs/0001-gan_digits"."""
    return f"{_start()} {shlex.join(map(str, words))}".rstrip()


def _start() -> str:
    started, here = sys.argv[0], Path(sys.executable).parent
    module = Path(started).name == "__main__.py"  # python -m gen_jax
    if "UV_RUN_RECURSION_DEPTH" in os.environ:  # uv run, which puts our names on PATH while it runs and no longer
        return "uv run python -m gen_jax" if module else "uv run gen-jax"
    script = shutil.which("gen-jax")
    if script and not module and Path(script).resolve() == (here / "gen-jax").resolve():
        return "gen-jax"
    if Path(started).name == "gen-jax":  # by its path, as .venv/bin/gen-jax
        return shlex.quote(started)
    on_path = (name for name in ("python", "python3") if Path(shutil.which(name) or "/").parent == here)
    return f"{shlex.quote(next(on_path, sys.executable))} -m gen_jax"
