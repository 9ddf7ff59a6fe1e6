"""The grammar of a sweep: texts in, values out."""

import pytest

from gen_jax.errors import InputError
from gen_jax.sweep.grammar import Choice, Interval, grid, meaning, short_names, split, written

CASES = {
    "1e-4,3e-4": Choice(("1e-4", "3e-4")),
    "1e-4": Choice(("1e-4",)),
    "a, b ,a": Choice(("a", "b")),
    "range(0,3)": Choice(("0", "1", "2")),
    "range(0,10,4)": Choice(("0", "4", "8")),
    "range(0,0.4,0.1)": Choice(("0", "0.1", "0.2", "0.3")),
    "range(3,0,-1)": Choice(("3", "2", "1")),
    "log(1e-5,1e-2)": Interval("log", 1e-5, 1e-2),
    "uniform(-1, 1)": Interval("uniform", -1.0, 1.0),
    "int(1,8)": Interval("int", 1.0, 8.0),
    "(200,200),(400,400)": Choice(("(200,200)", "(400,400)")),
    "(200,200)": Choice(("(200,200)",)),
    "{'kind':'cosine','start':1e-3},1e-4": Choice(("{'kind':'cosine','start':1e-3}", "1e-4")),
    "'a,b',c": Choice(("'a,b'", "c")),
    "": Choice(("",)),
}


@pytest.mark.parametrize("text", CASES)
def test_a_text_means(text):
    found = meaning("x", text)
    texts = lambda choice: tuple(float(t) if t.replace(".", "").isdigit() else t for t in choice.texts)
    assert texts(found) == texts(CASES[text]) if isinstance(found, Choice) else found == CASES[text]


def test_commas_of_a_tuple_are_its_own():
    assert meaning("widths", "200,200", is_tuple=True) == Choice(("200,200",)), "as gen-jax train takes it"
    assert meaning("widths", "(200,200),(400,)", is_tuple=True) == Choice(("(200,200)", "(400,)"))
    assert split("[1,2],(3,(4,5)),6") == ["[1,2]", "(3,(4,5))", "6"]


BAD = {
    "range(5,0)": "no number in it",
    "range(0,5,0)": "no number in it",
    "range(0)": "expected range",
    "range(a,b)": "expected range",
    "range(0,1,1e-9)": "must be <= 10,000",
    "log(0,1)": "above 0",
    "log(1,1)": "below the second",
    "uniform(2,1)": "below the second",
    "uniform(0,nan)": "below the second",
    "uniform(1)": "two numbers",
    "int(1,2.5)": "two whole numbers",
    "loguniform(1,2)": "no such word",
    "1,,2": "empty value",
}


@pytest.mark.parametrize("text", BAD)
def test_what_means_nothing_is_refused(text):
    with pytest.raises(InputError, match=BAD[text]) as refused:
        meaning("x.y", text)
    assert str(refused.value).startswith(f"--config.x.y={text}: ")


def test_a_grid_has_every_combination_once():
    cells = grid([("a", Choice(("1", "2"))), ("b", Choice(("x", "y", "z")))])
    assert len(cells) == len(set(cells)) == 6
    assert cells[:2] == [(("a", "1"), ("b", "x")), (("a", "1"), ("b", "y"))]
    assert grid([]) == [()]
    with pytest.raises(InputError, match="20,000 cells"):
        grid([("a", Choice(tuple(map(str, range(200))))), ("b", Choice(tuple(map(str, range(100)))))])


def test_names_are_as_short_as_they_tell_apart():
    names = short_names(["optimizer.learning_rate", "model.encoder.widths", "model.decoder.widths"])
    assert list(names.values()) == ["learning_rate", "encoder.widths", "decoder.widths"]
    assert short_names(["seed"]) == {"seed": "seed"}


def test_a_value_is_written_as_a_flag_says_it():
    assert [written(v) for v in ("adam", 1e-05, (200, 200), True)] == ["adam", "1e-05", "(200, 200)", "True"]
