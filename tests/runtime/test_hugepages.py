"""A command asks for huge pages by beginning again, once, and only where that changes something."""

import os
import subprocess
import sys

import pytest

from gen_jax.cli.main import main
from gen_jax.runtime import hugepages


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """The starts that were asked for, on a system that gives huge pages to those who ask."""
    starts = []
    monkeypatch.setattr(os, "execv", lambda *words: starts.append(words))
    monkeypatch.setattr(hugepages, "POLICY", tmp_path / "enabled")
    hugepages.POLICY.write_text("always [madvise] never\n")
    monkeypatch.delenv(hugepages.VARIABLE, raising=False)
    return starts


def test_begins_again_once_with_the_same_words(begun, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "-m", "gen_jax", "train"])
    for _ in range(2):
        hugepages.begin_again()
    assert begun == [(sys.executable, [sys.executable, "-X", "dev", "-m", "gen_jax", "train"])]
    assert os.environ[hugepages.VARIABLE] == "glibc.malloc.hugetlb=1"


@pytest.mark.parametrize("policy", ["[always] madvise never", "always madvise [never]", None])
def test_not_where_it_changes_nothing(begun, policy):
    hugepages.POLICY.write_text(policy) if policy else hugepages.POLICY.unlink()
    hugepages.begin_again()
    assert begun == []


def test_not_where_the_user_has_set_the_variable(begun, monkeypatch):
    monkeypatch.setenv(hugepages.VARIABLE, "glibc.malloc.hugetlb=0")
    hugepages.begin_again()
    assert begun == []


UNKNOWN = ["config", "--config=no_such_config"]


def test_only_a_command_of_its_own_and_only_after_the_refusals(begun, monkeypatch, capsys):
    assert main(UNKNOWN) == 2 and begun == []  # called from Python: the process is somebody else's
    monkeypatch.setattr(sys, "argv", ["gen-jax", *UNKNOWN, "--nonsense"])
    assert main() == 2 and begun == []
    monkeypatch.setattr(sys, "argv", ["gen-jax", *UNKNOWN])
    assert main() == 2 and len(begun) == 1
    capsys.readouterr()


def test_a_real_command_begins_again_and_ends_as_ever():
    """Where the system does not give huge pages to those who ask, this shows that nothing is done."""
    environment = {name: value for name, value in os.environ.items() if name != hugepages.VARIABLE}
    told = "import os, sys; from gen_jax.cli.main import main; print(os.environ.get('GLIBC_TUNABLES'), flush=True)"
    command = [sys.executable, "-c", f"{told}; sys.exit(main())", *UNKNOWN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    asked = hugepages.POLICY.is_file() and "[madvise]" in hugepages.POLICY.read_text()
    assert done.stdout.split() == (["None", hugepages.ASKED] if asked else ["None"])
