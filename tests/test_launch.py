"""The templates in experiments/launch: each is what its interpreter takes, and its commands are ones that there are."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from test_words import parse

FILES = sorted((Path(__file__).parent.parent / "experiments/launch").iterdir())
VALUES = {"JOB_COMPLETION_INDEX": "1"}  # of variables; others are paths


def commands(text):
    """The words after gen-jax of each command, in comments too; lines that go on are joined."""
    text = re.sub(r"\\\n\s*|\n\s+(?=--)", " ", text)
    for line in re.findall(r"(?:gen-jax|-m gen_jax) ((?:train|sweep) --?.*|(?:train|sweep) [\w/]+ --.*)", text):
        line = re.sub(r"\$\{?(\w+)\}?", lambda found: VALUES.get(found[1], "path"), line)
        yield shlex.split(line)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_its_commands_have_flags_and_fields_that_there_are(file):
    found = list(commands(file.read_text()))
    assert found
    for words in found:
        parse(words)
        assert words[0] == "sweep" or any(word.startswith("--workdir=") for word in words), "it could not go on"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_is_what_its_interpreter_takes_and_says_where_it_was_run(file):
    text = file.read_text()
    if file.suffix == ".yaml":
        assert all(isinstance(part, dict) for part in yaml.safe_load_all(text))
    else:
        subprocess.run(["bash", "-n", file], check=True)
    assert "# Not run here: " in text or "# Run here: " in text
