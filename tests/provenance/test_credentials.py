"""Credentials: signed, verified, damaged in every place, re-saved, and the words for each outcome."""

import io
import json
import os
import socket
import stat
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from gen_jax.errors import InputError
from gen_jax.provenance import check_identity, credentials, inspect, make_identity, read_record, sentences, sign, verify
from gen_jax.provenance.pictures import write_animation, write_png
from gen_jax.provenance.records import PNG, png_chunks

pytestmark = pytest.mark.extra

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
RECORD = {"Comment": "AI-generated", "Config-SHA256": "ab" * 32, "Step": 300, "Seed": 7}
ABSENT = "absence proves nothing"

c2pa = pytest.importorskip("c2pa", reason="the optional extra is missing: pip install 'gen_jax[c2pa]'")
x509 = pytest.importorskip("cryptography.x509", reason="the optional extra is missing: pip install 'gen_jax[c2pa]'")


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity") / "ann"
    make_identity(folder, "Ann Example")
    return folder


@pytest.fixture
def signed(tmp_path, identity):
    path = tmp_path / "a.png"
    write_png(path, IMAGE, RECORD)
    sign(path, identity, RECORD)
    return path


def png(*chunks):
    """A PNG of these chunks, with right checksums."""
    parts = [
        len(c.body).to_bytes(4, "big") + c.kind + c.body + zlib.crc32(c.kind + c.body).to_bytes(4, "big")
        for c in chunks
    ]
    return PNG + b"".join(parts)


def sign_elsewhere(path, identity, actions, url=None):
    """Signs as another program might; with a `url`, the file says only where its manifest is kept."""
    keys = (identity / "signer.pem").read_bytes(), (identity / "signer.key").read_bytes()
    assertions = [
        {"label": "c2pa.actions.v2", "data": {"actions": actions}},
        {"label": credentials.RECORD, "data": ["no", "record"]},
    ]
    builder = c2pa.Builder({"claim_generator_info": [{"name": "other"}], "assertions": assertions})
    if url:
        builder.set_remote_url(url)
        builder.set_no_embed()
    out = io.BytesIO()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", *keys, None))
    builder.sign(signer, "image/png", io.BytesIO(path.read_bytes()), out)
    path.write_bytes(out.getvalue())


def spoken(report):
    return "\n".join(sentences(report))


def text_of(record):
    return {name: str(value) for name, value in record.items()}


def test_trusted_with_its_anchor(signed, identity):
    verdict = verify(signed, identity / "ca.pem")
    assert verdict.state == "trusted"
    assert verdict.reasons == ()
    assert verdict.signer == "Ann Example"
    assert verdict.manifest["actions"] == [{"action": "c2pa.created", "source": credentials.AI}]
    assert verdict.manifest["record"] == text_of(RECORD)
    assert verdict.manifest["generator"] == read_record(signed)["Software"]
    certificate = x509.load_pem_x509_certificate((identity / "signer.pem").read_bytes())
    assert verdict.manifest["serial"] == str(certificate.serial_number)


def test_valid_but_not_trusted_without_it(signed, identity, tmp_path):
    # Another authority of the very same name vouches for nothing.
    make_identity(tmp_path / "other", "Ann Example")
    for anchors in (None, tmp_path / "other" / "ca.pem"):
        verdict = verify(signed, anchors)
        assert verdict.state == "valid but not trusted"
        assert verdict.reasons == ("signing certificate untrusted",)
        assert verdict.signer == "Ann Example"


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_animations_are_signed_too(tmp_path, identity, suffix):
    path = tmp_path / f"a{suffix}"
    write_animation(path, [IMAGE, 255 - IMAGE], RECORD)
    sign(path, identity, RECORD)
    assert verify(path, identity / "ca.pem").state == "trusted"
    assert read_record(path)["Seed"] == 7
    assert Image.open(path).n_frames == 2
    data = bytearray(path.read_bytes())
    data[data.index(b"AI-generated")] ^= 1
    path.write_bytes(data)
    assert verify(path, identity / "ca.pem").state == "tampered"


def test_signing_changes_no_pixel_and_no_text_and_costs_three_kilobytes(signed, tmp_path):
    write_png(tmp_path / "unsigned.png", IMAGE, RECORD)
    np.testing.assert_array_equal(np.asarray(Image.open(signed)), IMAGE)
    assert read_record(signed) == read_record(tmp_path / "unsigned.png")
    assert 2000 < signed.stat().st_size - (tmp_path / "unsigned.png").stat().st_size < 3500
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "unsigned.png"]


def test_a_flipped_byte_anywhere_is_tampered(signed, identity):
    data = signed.read_bytes()
    # All of the structure, and every thirteenth byte: pixels, text, manifest, padding, checksums.
    places, start = set(range(8)) | set(range(0, len(data), 13)), 8
    for chunk in png_chunks(data):
        end = start + 12 + len(chunk.body)
        places |= {*range(start, start + 8), *range(end - 4, end)}
        start = end
    assert start == len(data)
    assert verify(signed, identity / "ca.pem").state == "trusted"
    for place in sorted(places):
        signed.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        report = inspect(signed, identity / "ca.pem")
        assert report["credentials"]["state"] == "tampered", place
        assert report["credentials"]["reasons"], place
        assert "Tampered" in spoken(report)


def test_tampering_behind_right_checksums_is_seen(signed, identity):
    """Each edit leaves a proper PNG: other pixels, another seed, a text more, bytes after the end, a cut."""
    data = signed.read_bytes()
    chunks = list(png_chunks(data))

    def edited(kind, old, new):
        return png(*(c._replace(body=c.body.replace(old, new)) if c.kind == kind else c for c in chunks))

    assert png(*chunks) == data
    edits = {
        "pixels": png(*(c._replace(body=zlib.compress(bytes(16 * 49))) if c.kind == b"IDAT" else c for c in chunks)),
        "seed": edited(b"tEXt", b"Seed\x007", b"Seed\x008"),
        "signed record": edited(b"caBX", b"Stepc300", b"Stepc301"),
        "signed source": edited(b"caBX", b"trainedAlgorithmicMedia", b"digitalCaptureByACamera"),
        "signer": edited(b"caBX", b"Ann Example", b"Bob Example"),
        "text added": png(*chunks[:-1], chunks[-1]._replace(kind=b"tEXt", body=b"Author\0me"), chunks[-1]),
        "text stripped": png(*(c for c in chunks if c.kind != b"tEXt")),
        "bytes appended": data + b"more",
        "end cut off": data[:-12],
        "manifest cut off": data[: 8 + 25 + 1500],
        "manifest cut off early": data[: 8 + 25 + 40],
    }
    for name, edit in edits.items():
        assert edit != data, name
        signed.write_bytes(edit)
        assert verify(signed, identity / "ca.pem").state == "tampered", name


def test_credentials_moved_to_another_image_are_tampered(signed, identity, tmp_path):
    write_png(tmp_path / "b.png", 255 - IMAGE, RECORD)
    data, other = signed.read_bytes(), (tmp_path / "b.png").read_bytes()
    start = data.index(b"caBX") - 4
    manifest = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    (tmp_path / "b.png").write_bytes(other[:33] + manifest + other[33:])
    assert verify(tmp_path / "b.png", identity / "ca.pem").state == "tampered"


def test_saved_anew_is_absent_which_proves_nothing(signed, identity):
    Image.open(signed).save(signed)
    report = inspect(signed, identity / "ca.pem")
    assert report["credentials"] == {"state": "absent", "reasons": [], "signer": None, "manifest": None}
    assert ABSENT in spoken(report)
    assert "neither that a person made the image nor that it was not altered" in spoken(report)


def test_an_expired_certificate_is_no_tampering(tmp_path, monkeypatch):
    # From yesterday and for a day and two seconds: good for signing now, expired in a moment.
    path = tmp_path / "a.png"
    made = credentials._identity
    monkeypatch.setattr(credentials, "_identity", lambda name: made(name, days=1 + 2 / 86400))
    make_identity(tmp_path / "brief", "Brief")
    write_png(path, IMAGE, RECORD)
    sign(path, tmp_path / "brief", RECORD)
    assert verify(path, tmp_path / "brief" / "ca.pem").state == "trusted"
    time.sleep(3)
    verdict = verify(path, tmp_path / "brief" / "ca.pem")
    assert verdict.state == "valid but not trusted"
    assert "certificate expired" in verdict.reasons
    chunks = png_chunks(path.read_bytes())
    path.write_bytes(png(*(c._replace(body=c.body.replace(b"Seed\x007", b"Seed\x008")) for c in chunks)))
    assert verify(path, tmp_path / "brief" / "ca.pem").state == "tampered"


def test_nothing_is_fetched(tmp_path, identity):
    path = tmp_path / "a.png"
    write_png(path, IMAGE, RECORD)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.c2pa"
        sign_elsewhere(path, identity, [{"action": "c2pa.created", "digitalSourceType": credentials.AI}], url)
        verdict = verify(path, identity / "ca.pem")
        with pytest.raises(TimeoutError):
            server.accept()
    assert verdict.state == "absent"
    assert url in verdict.reasons[0]


def test_credentials_of_other_programs_are_read(tmp_path, identity):
    path, capture = tmp_path / "a.png", credentials.AI.replace("trainedAlgorithmicMedia", "digitalCapture")
    Image.fromarray(IMAGE).save(path)
    sign_elsewhere(
        path, identity, [{"action": "c2pa.created", "digitalSourceType": capture}, {"action": "c2pa.color_adjustments"}]
    )
    report = inspect(path, identity / "ca.pem")
    assert report["credentials"]["state"] == "trusted"
    assert report["credentials"]["manifest"]["record"] is None
    assert "states: 'c2pa.created', 'c2pa.color_adjustments'; program 'other'." in spoken(report)
    assert "AI-generated" not in spoken(report)


def test_keys_belong_to_their_owner_alone(identity):
    assert {path.name for path in identity.iterdir()} == {"ca.pem", "ca.key", "signer.pem", "signer.key"}
    assert stat.S_IMODE(identity.stat().st_mode) == 0o700
    for name in ("ca.key", "signer.key"):
        assert stat.S_IMODE((identity / name).stat().st_mode) == 0o600


def test_certificates_are_what_they_should_be(identity):
    authority, signer = (x509.load_pem_x509_certificate((identity / f).read_bytes()) for f in ("ca.pem", "signer.pem"))
    signer.verify_directly_issued_by(authority)
    authority.verify_directly_issued_by(authority)
    assert signer.public_key().curve.name == "secp256r1"
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not signer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = signer.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_cert_sign
    assert (signer.not_valid_after_utc - signer.not_valid_before_utc).days == credentials.VALID_DAYS


def test_an_identity_is_never_overwritten(identity, tmp_path):
    before = {path.name: path.read_bytes() for path in identity.iterdir()}
    with pytest.raises(InputError, match="never overwritten"):
        make_identity(identity, "Bob")
    assert {path.name: path.read_bytes() for path in identity.iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="never overwritten"):
        make_identity(tmp_path / "file", "Bob")
    (tmp_path / "empty").mkdir()
    make_identity(tmp_path / "empty", "Bob")
    with pytest.raises(InputError, match="cannot make"):
        make_identity(tmp_path / "file" / "below", "Bob")
    assert sorted(os.listdir(tmp_path)) == ["empty", "file"]


def test_an_identity_is_made_whole_or_not_at_all(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.rename", fail)
    with pytest.raises(InputError, match="disk full"):
        make_identity(tmp_path / "ann", "Ann")
    assert list(tmp_path.iterdir()) == []


def test_unusable_names_are_refused(tmp_path):
    for name in ("", "  ", "a\nb", "x" * 65):
        with pytest.raises(InputError, match="cannot stand in a certificate"):
            make_identity(tmp_path / "id", name)
    make_identity(tmp_path / "id", "Zoë 数字")


def test_what_cannot_be_signed_is_refused(signed, identity, tmp_path):
    before = signed.read_bytes()
    with pytest.raises(InputError, match="has credentials already"):
        sign(signed, identity, RECORD)
    path = tmp_path / "b.png"
    write_png(path, IMAGE, RECORD)
    check_identity(identity)
    with pytest.raises(InputError, match="no signer.pem and signer.key"):
        sign(path, tmp_path / "nobody", RECORD)
    with pytest.raises(InputError, match="no signer.pem and signer.key"):
        check_identity(tmp_path / "nobody")
    make_identity(tmp_path / "mixed", "Ann")
    (tmp_path / "mixed" / "signer.key").write_bytes((identity / "signer.key").read_bytes())
    unsigned = path.read_bytes()
    with pytest.raises(InputError, match="cannot sign"):
        sign(path, tmp_path / "mixed", RECORD)
    with pytest.raises(InputError, match="cannot sign"):
        check_identity(tmp_path / "mixed")
    (tmp_path / "mixed" / "signer.key").write_text("no key")
    with pytest.raises(InputError, match="cannot sign"):
        sign(path, tmp_path / "mixed", RECORD)
    assert (signed.read_bytes(), path.read_bytes()) == (before, unsigned)
    (tmp_path / "c.png").write_bytes(b"hello")
    with pytest.raises(InputError, match="is not an image"):
        sign(tmp_path / "c.png", identity, RECORD)


def test_unsigned_foreign_and_damaged_files(tmp_path, identity):
    path = tmp_path / "a.png"
    write_png(path, IMAGE, RECORD)
    data = path.read_bytes()
    for whole in (data, data + b"trailing"):
        path.write_bytes(whole)
        assert verify(path) == ("absent", (), None, None)
    for damaged in (data[:-30], data[:-30] + b"X" + data[-29:]):
        path.write_bytes(damaged)
        verdict = verify(path, identity / "ca.pem")
        assert verdict.state == "absent"
        assert "'IDAT' is damaged" in verdict.reasons[0]
    Image.fromarray(IMAGE).save(tmp_path / "a.jpg")
    assert verify(tmp_path / "a.jpg").state == "absent"
    for content, message in [(b"", "is empty"), (b"hello", "is not an image"), (data[:8], "is not an image")]:
        path.write_bytes(content)
        for look in (verify, inspect):
            with pytest.raises(InputError, match=message):
                look(path)


def test_anchors_that_are_none_are_refused(signed, identity, tmp_path):
    (tmp_path / "anchors.pem").write_text("no certificate")
    for anchors, message in [
        (tmp_path / "anchors.pem", "holds no certificate"),
        (identity / "ca.key", "holds no certificate"),
        (identity, "cannot read"),
        (tmp_path / "none.pem", "cannot read"),
    ]:
        with pytest.raises(InputError, match=message):
            verify(signed, anchors)


def test_reports_are_json_and_say_what_is_what(signed, identity):
    trusted = inspect(signed, identity / "ca.pem")
    assert json.loads(json.dumps(trusted)) == trusted
    assert trusted["sentences"] == sentences(trusted)
    assert "anybody can write such text, change it or strip it" in spoken(trusted)
    assert "signed by 'Ann Example', whom your anchors vouch for, and unchanged since" in spoken(trusted)
    assert "'c2pa.created' by a trained algorithm (AI-generated)" in spoken(trusted)
    assert "not that it is true" in spoken(trusted)
    assert "Not verified: who signed it" in spoken(inspect(signed))
    Image.fromarray(IMAGE).save(signed)
    assert "says nothing about itself" in spoken(inspect(signed))


def test_no_control_character_reaches_the_terminal(tmp_path, identity):
    path, record = tmp_path / "a.png", {"Comment": "\x1b[2Jhi\nTrusted\u202e", "Titel": "schön", "Long": "x" * 5000}
    write_png(path, IMAGE, record)
    sign(path, identity, record)
    for line in sentences(inspect(path, identity / "ca.pem")):
        assert line.isprintable() and len(line) < 1000
    assert "schön" in spoken(inspect(path))
