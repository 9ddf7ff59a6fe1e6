"""Printed commands start as the user's own did."""

import sys

import pytest

from gen_jax.command import _start, command

RECURSION = "UV_RUN_RECURSION_DEPTH"  # which `uv run` sets for what it starts


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An environment with gen-jax and an interpreter, and another interpreter elsewhere on PATH."""
    for folder in ("env", "other", "link"):
        (tmp_path / folder).mkdir()
    for file in ("env/gen-jax", "env/python", "env/python3", "other/python"):
        (tmp_path / file).write_text("#!/bin/sh\n")
        (tmp_path / file).chmod(0o755)
    (tmp_path / "link/gen-jax").symlink_to(tmp_path / "env/gen-jax")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "env/python3"))
    monkeypatch.delenv(RECURSION, raising=False)
    return tmp_path


CASES = {
    "on PATH": ("env:other", "env/gen-jax", {}, "gen-jax"),
    "on PATH by a link": ("link:other", "link/gen-jax", {}, "gen-jax"),
    "under uv run": ("env:other", "env/gen-jax", {RECURSION: "1"}, "uv run gen-jax"),
    "under uv run, as a module": ("env", "env/gen_jax/__main__.py", {RECURSION: "1"}, "uv run python -m gen_jax"),
    "by its path": ("other", "env/gen-jax", {}, "{root}/env/gen-jax"),
    "as a module": ("env:other", "env/gen_jax/__main__.py", {}, "python -m gen_jax"),
    "as a module of an interpreter by its path": ("other", "x/__main__.py", {}, "{root}/env/python3 -m gen_jax"),
    "in a notebook": ("env", "env/ipykernel_launcher.py", {}, "gen-jax"),
    "in a program, nothing on PATH": ("other", "serve.py", {}, "{root}/env/python3 -m gen_jax"),
}


@pytest.mark.parametrize("case", CASES)
def test_as_the_user_started_it(case, machine, monkeypatch):
    path, started, environment, expected = CASES[case]
    monkeypatch.setenv("PATH", ":".join(str(machine / folder) for folder in path.split(":")))
    monkeypatch.setattr(sys, "argv", [str(machine / started), "train"])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _start() == expected.format(root=machine)


def test_words_are_quoted():
    assert command("sample", "my runs/0001") == "gen-jax sample 'my runs/0001'"
