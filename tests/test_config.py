"""Configs: overrides, defaults of networks, and the way to JSON and back."""

import ml_collections
import pytest

from gen_jax.config import base, flatten, from_json, load, shipped, to_json
from gen_jax.config.load import check
from gen_jax.errors import InputError
from gen_jax.field import whole


@pytest.mark.parametrize("name", shipped())
def test_json_and_back_is_the_same_config(name):
    config = load(name)
    assert flatten(from_json(to_json(config))) == flatten(config)


def test_overrides_have_the_types_of_their_fields():
    pairs = {"optimizer.learning_rate": "1", "data.flip": "True", "train.steps": "7", "model.encoder.widths": "8,9"}
    config = load("vae_digits", pairs.items())
    assert config.optimizer.learning_rate == 1.0 and config.data.flip is True
    assert config.train.steps == 7 and config.model.encoder.widths == (8, 9)


def test_schedule_can_be_given_on_the_command_line():
    config = load("gan_digits", [("optimizer.b2", "{'kind': 'linear', 'start': 0.9, 'end': 0.99}")])
    assert config.optimizer.b2.end == 0.99
    again = load("vae_digits", [("optimizer.learning_rate.start", "0.5")])
    assert again.optimizer.learning_rate.start == 0.5 and again.optimizer.learning_rate.kind == "cosine"


def test_another_architecture_brings_its_own_fields():
    config = load("vae_digits", [("model.encoder.name", "conv"), ("model.encoder.width", "8")])
    assert config.model.encoder.width == 8 and "widths" not in config.model.encoder
    assert config.model.decoder.widths == (200, 200)


def test_loaded_config_is_locked():
    with pytest.raises((AttributeError, KeyError)):
        load("vae_digits").train.stepz = 3


def test_argument_reaches_the_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from gen_jax.config import base\ndef get_config(width='4'):\n    c = base('vae')\n"
        "    c.model.encoder = {'name': 'conv', 'width': int(width)}\n"
        "    c.model.decoder = {'name': 'conv', 'width': int(width)}\n    c.data.binarize = 'dynamic'\n    return c\n"
    )
    assert load(f"{tmp_path / 'mine.py'}:12").model.encoder.width == 12
    assert load(str(tmp_path / "mine.py")).model.encoder.width == 4


def test_missing_section_is_named():
    with pytest.raises(InputError, match="missing"):
        from gen_jax.config.load import check

        config = base("vae")
        del config.train["steps"]
        check(config)


def test_config_files_are_plain_functions():
    assert isinstance(base("gan"), ml_collections.ConfigDict)


def test_config_of_an_older_run_gets_the_fields_that_are_new():
    config = load("gan_digits")
    values = to_json(config)
    del values["evaluate"], values["train"]["evaluate_every"]
    assert to_json(from_json(values)) == to_json(config)
    check(from_json(values))


@pytest.mark.parametrize("text, value", [("1e3", 1000), ("2.5e1", 25), ("1000", 1000), ("4294967295", 2**32 - 1)])
def test_a_whole_number_may_be_written_as_a_float(text, value):
    assert whole(text) == value and isinstance(whole(text), int)
    assert load("vae_digits", [("train.steps", "1e3")]).train.steps == 1000


@pytest.mark.parametrize("text", ["1.5", "1e-3", "nan", "inf", "1e999", "", "a"])
def test_what_is_not_whole_is_no_whole_number(text):
    with pytest.raises(ValueError):
        whole(text)
