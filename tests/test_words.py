"""What the README and the pages beside it say can be done: commands, fields, links and scripts are tried."""

import re
import shlex
import textwrap
from pathlib import Path

import pytest

from gen_jax.cli import main
from gen_jax.config import load, shipped
from gen_jax.sweep import plan as plans

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TRAIN, TEST = "pip install uv && uv run gen-jax train", "pip install uv && uv run pytest"


def indented(text):
    """The command lines of a page: indented by four, those that end in a backslash joined."""
    return re.findall(r"^    (\S.*)", text.replace("\\\n", " "), re.MULTILINE)


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


COMMANDS = [
    pytest.param(found.group(), id=f"{page.name}: {found.group()}")
    for page in PAGES
    for line in indented(page.read_text())
    if (found := re.search(r"(?<![/\w])gen-jax .*", line))
]


def test_the_readme_is_short_and_its_two_commands_stand_alone():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if "pip install uv" in line] == [f"    {TRAIN}", f"    {TEST}"]
    assert TEST in (ROOT / ".ci/run").read_text().splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_flags_and_fields_that_there_are(command, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()  # as docs/own.md says
    for block in blocks(ROOT / "docs/own.md"):
        (tmp_path / block.partition("\n")[0].removeprefix("# ")).write_text(block)
    monkeypatch.chdir(tmp_path)
    parse(shlex.split(command, comments=True)[1:])


def parse(words):
    """Words after gen-jax: refused unless there are such flags, fields and values."""
    verb, *words = words
    parser = {name: parser for name, parser, _ in main._verbs()}[verb]
    overrides, words = main._split(words, "--config.")
    conditions, words = main._split(words, "--condition.")
    arguments = parser.parse_args(words)
    assert not conditions or hasattr(arguments, "condition")
    if verb == "sweep":
        asked = {name: getattr(arguments, name) for name in ("seeds", "trials", "metric", "prune")}
        plans.asked(arguments.config, overrides, **{name: value for name, value in asked.items() if value})
    elif hasattr(arguments, "config"):
        load(arguments.config, [pair for pair in overrides if "NAME" not in pair])
    else:
        assert not overrides


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_are_there(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:configs|tests|experiments|docs|gen_jax)/[\w/]+\.(?:py|md))`", text):
        assert (ROOT / path).exists() or "NAME" in path, path


def test_every_config_is_in_the_results_and_no_other():
    page = (ROOT / "docs/results.md").read_text()
    named = set(re.findall(r"^\| `(\w+)[`:]", page.partition("## Samples")[0], re.MULTILINE))
    assert named == set(shipped())
    readme = set(re.findall(r"^\| `(\w+)`", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert readme - set(shipped()) == set()


def test_python_is_python():
    for page in PAGES:
        for block in blocks(page):
            compile(block, page.name, "exec")


def test_the_loss_of_the_readme_is_the_one_that_ships():
    import jax

    from gen_jax.losses import adversarial

    names = {"jax": jax, "GameLosses": adversarial.GameLosses}
    (block,) = (block for block in blocks(ROOT / "README.md") if "def hinge" in block)
    exec(block, names)
    logits = jax.numpy.linspace(-2.0, 2.0, 5), jax.numpy.linspace(3.0, -1.0, 5)
    assert jax.tree.map(list, names["hinge"](*logits)) == jax.tree.map(list, adversarial.hinge(*logits))


def test_the_method_of_the_contributing_page_is_whole(tmp_path, monkeypatch):
    """As the script that it says it is, but in this process."""
    from gen_jax.methods import METHODS

    (block,) = (block for block in blocks(ROOT / "CONTRIBUTING.md") if "METHODS" in block)
    (tmp_path / "noise.py").write_text(textwrap.dedent(block))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    try:
        import noise

        assert noise.images.shape == (4, 16, 16, 1) and noise.images.std() > 60  # uniform: 74
    finally:
        METHODS.pop("noise", None)
