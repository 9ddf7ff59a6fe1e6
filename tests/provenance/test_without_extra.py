"""Without the optional extra: claims are read all the same, and everything else says what to install."""

import sys

import numpy as np
import pytest

from gen_jax.errors import InputError
from gen_jax.provenance import check_identity, inspect, make_identity, sentences, sign, verify
from gen_jax.provenance.pictures import write_png


@pytest.mark.parametrize("name", ["c2pa", "cryptography"])
def test_the_line_says_what_to_install(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)  # Its import fails from here on.
    path = tmp_path / "a.png"
    write_png(path, np.zeros((8, 8, 3), np.uint8), {"Seed": 7})
    keys = tmp_path / "keys"  # files in place of keys: what is there is read before the library is asked for
    keys.mkdir()
    for file in ("signer.pem", "signer.key"):
        (keys / file).write_text("x")
    for call in (
        lambda: verify(path),
        lambda: sign(path, tmp_path / "ann", {}),
        lambda: make_identity(tmp_path / "ann", "Ann"),
        lambda: check_identity(keys),
        lambda: inspect(path, tmp_path / "ca.pem"),
    ):
        with pytest.raises(InputError, match=r"pip install 'gen_jax\[c2pa\]'$"):
            call()
    assert not (tmp_path / "ann").exists()
    report = inspect(path)
    assert report["claims"]["Seed"] == "7"
    assert report["credentials"]["state"] == "not checked"
    assert "Nothing was verified" in "\n".join(sentences(report))
