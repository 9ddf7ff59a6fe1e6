import sys

import pytest

from gen_jax.data.prepare import prepare
from gen_jax.errors import InputError


def test_what_is_prepared_stays(tfds_data):
    assert prepare("mnist").name == "3.0.1"


def test_unknown_names_get_near_matches(tmp_path):
    with pytest.raises(InputError, match=r"data set mnits is unknown to TFDS; did you mean .*mnist"):
        prepare("mnits", tmp_path)


def test_tensorflow_is_asked_for(tmp_path, monkeypatch):
    # None in sys.modules is how Python marks a module as absent.
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(InputError, match=r"needs TensorFlow; run: pip install 'gen_jax\[prepare\]'"):
        prepare("mnist", tmp_path)
    assert not list(tmp_path.iterdir())
