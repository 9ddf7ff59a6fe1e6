"""report.html of a sweep: whole by itself, with what is asked of it."""

import importlib.util
import re

import numpy as np
import pytest
from PIL import Image

from gen_jax.cli.main import main
from gen_jax.sweep.page import _axis

GRID = ["--config=vae_digits", "--config.optimizer.learning_rate=1e-5,1e-4,1e-3,1e-2", "--config.train.steps=5"]
GRID += ["--config.model.encoder.activation=tanh,relu", "--seeds=2"]


def test_a_page_of_a_grid(tmp_path, fake, monkeypatch):
    assert main(["sweep", str(tmp_path / "s"), *GRID, "--parallel=4"]) == 0
    for run in (tmp_path / "s/trials").iterdir():
        (run / "samples").mkdir()
        Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(run / "samples/step_000005.png")
    assert main(["sweep", str(tmp_path / "s")]) == 0
    page = (tmp_path / "s/report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", page), "nothing beside it, no network"
    sections = re.findall(r'<section id="(\w+)"', page)
    importance = ["importance"] if importlib.util.find_spec("optuna") else []
    assert sections == ["cells", "fields", *importance, "curves", "samples"]
    assert page.count('<tr><th scope="row">') == 8 and page.count("<img ") == 4
    fields = page[page.index('id="fields"') : page.index('id="curves"')]
    assert fields.count('class="raw"') == 7 and fields.count('class="line"') == 1
    assert "learning_rate=1e-3, activation=tanh: loss 0.25</title>" in fields


@pytest.mark.extra
@pytest.mark.skipif(not importlib.util.find_spec("optuna"), reason="Optuna, of the extra sweep, is not there")
def test_the_field_that_matters_is_the_important_one(tmp_path, fake):
    """The fakes' loss knows the learning rate and not the activation."""
    from gen_jax.sweep import plan as plans
    from gen_jax.sweep.results import collect
    from gen_jax.sweep.search import importance

    assert main(["sweep", str(tmp_path / "s"), *GRID, "--parallel=4"]) == 0
    plan = plans.read(tmp_path / "s")
    cells = [plans.runs_of(plan, tmp_path / "s", i, cell) for i, cell in enumerate(plan.cells)]
    shares = importance(collect(plan, cells))
    assert shares["optimizer.learning_rate"] > 0.9 and sum(shares.values()) == pytest.approx(1)
    assert importance(collect(plan, cells[:1])) == {}, "one cell says nothing"


def test_an_axis_is_of_numbers_of_decades_or_of_names():
    assert _axis(["1", "2", "3"])[0] == [0.0, 0.5, 1.0]
    assert _axis(["1e-4", "1e-3", "1e-2"])[0] == pytest.approx([0.0, 0.5, 1.0])
    assert _axis(["relu", "tanh", "relu"])[0] == [0.25, 0.75, 0.25]
    assert _axis([2.0, 2.0])[0] == [0.5, 0.5]
