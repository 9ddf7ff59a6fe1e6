"""The verbs: a signed sample is trusted with its anchor, and every picture of a run says what made it."""

import json

import pytest
from PIL import Image
from shrunk import shrunk
from shrunk import trained as train

from gen_jax.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    train(shrunk("vae_digits", folder, train__steps=1), folder / "run")
    return folder / "run"


def test_grids_of_training_carry_the_whole_record(run):
    text = Image.open(run / "samples/step_000001.png").text
    assert (
        text["Comment"] == "AI-generated" and len(text["Config-SHA256"]) == 64 and text["Software"] == "gen_jax 0.1.0"
    )
    assert text["Step"] == "1" and text["Seeds"] == "0-63" and text["Weights"] == "raw"


def test_unsigned_sample_is_a_claim_only(run, tmp_path, capsys):
    out = tmp_path / "a.png"
    assert main(["sample", str(run), "--seeds=0-3", f"--out={out}"]) == 0
    capsys.readouterr()
    assert main(["inspect", str(out)]) == 0
    told = capsys.readouterr().out
    assert "AI-generated" in told and "claim" in told
    assert main(["inspect", str(tmp_path / "nowhere.png")]) == 2


@pytest.mark.extra
def test_signed_sample_is_trusted_with_its_anchor(run, tmp_path, capsys):
    pytest.importorskip("c2pa", reason="needs the extra c2pa")
    pytest.importorskip("cryptography", reason="needs the extra c2pa")
    keys, out = tmp_path / "keys", tmp_path / "a.png"
    assert main(["identity", str(keys), "--name=A studio"]) == 0
    assert main(["sample", str(run), "--seeds=0-3", f"--out={out}", f"--sign={keys}"]) == 0
    capsys.readouterr()
    for flags, state in [([f"--anchors={keys / 'ca.pem'}"], "trusted"), ([], "valid but not trusted")]:
        assert main(["inspect", str(out), "--json", *flags]) == 0
        (report,) = json.loads(capsys.readouterr().out)
        assert report["credentials"]["state"] == state and report["claims"]["Seeds"] == "0-3"
    changed = bytearray(out.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "b.png").write_bytes(changed)
    Image.open(out).save(tmp_path / "c.png")
    assert main(["inspect", str(tmp_path / "b.png"), str(tmp_path / "c.png")]) == 0
    told = capsys.readouterr().out
    assert "credentials tampered" in told and "credentials absent" in told
    assert "proves nothing" in told.lower() or "prove nothing" in told.lower()
    assert main(["sample", str(run), f"--out={tmp_path / 'd.png'}", f"--sign={tmp_path / 'none'}"]) == 2
    assert "gen-jax identity" in capsys.readouterr().err and not (tmp_path / "d.png").exists()
