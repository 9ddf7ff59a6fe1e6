"""What an image claims, read back from what gen_jax writes and from files that nobody should have made."""

import json
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from gen_jax.errors import InputError
from gen_jax.provenance import read_record
from gen_jax.provenance.pictures import write_animation, write_png

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
RECORD = {"Comment": "AI-generated", "Config-SHA256": "ab" * 32, "Step": "300", "Seed": "7"}


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def with_chunks(path, *chunks):
    """The PNG at `path` with chunks after its IHDR (25 bytes after the signature of 8)."""
    data = path.read_bytes()
    path.write_bytes(data[:33] + b"".join(chunks) + data[33:])


def test_png_text_comes_back(tmp_path):
    write_png(tmp_path / "a.png", IMAGE, RECORD | {"Title": "Ünï – 数字"})
    record = read_record(tmp_path / "a.png")
    assert record.pop("Software").startswith("gen_jax ")
    assert record == RECORD | {"Title": "Ünï – 数字"}


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_animation_text_comes_back(tmp_path, suffix):
    write_animation(tmp_path / f"a{suffix}", [IMAGE, 255 - IMAGE], {**RECORD, "Step": 300})
    record = read_record(tmp_path / f"a{suffix}")
    assert record.pop("Software").startswith("gen_jax ")
    assert record == {**RECORD, "Step": 300}


def test_every_kind_of_png_text_is_read_as_pillow_reads_it(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("plain", "one")
    text.add_text("packed", "two " * 100, zip=True)
    text.add_itxt("wide", "三", lang="ja", tkey="広い")
    text.add_itxt("wide and packed", "四" * 100, zip=True)
    Image.fromarray(IMAGE).save(tmp_path / "a.png", pnginfo=text)
    assert read_record(tmp_path / "a.png") == Image.open(tmp_path / "a.png").text
    # A file may carry text after its pixels too.
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:-12] + chunk(b"tEXt", b"late\0yes") + data[-12:])
    assert read_record(tmp_path / "a.png")["late"] == "yes"


def test_an_image_without_text_claims_nothing(tmp_path):
    for suffix in ("png", "webp", "gif", "jpg"):
        Image.fromarray(IMAGE).save(tmp_path / f"a.{suffix}")
        assert read_record(tmp_path / f"a.{suffix}") == {}


def test_foreign_comments_are_returned_as_they_are(tmp_path):
    for comment in ("made by hand", "[1, 2]", "[" * 100_000, "9" * 10_000, "{broken"):
        Image.fromarray(IMAGE).save(tmp_path / "a.gif", comment=comment.encode())
        assert read_record(tmp_path / "a.gif") == {"Comment": comment}
    Image.fromarray(IMAGE).save(tmp_path / "a.jpg", comment=b'{"Seed": 3, "bad": NaN}')
    record = read_record(tmp_path / "a.jpg")
    assert record == {"Seed": 3, "bad": "NaN"}
    json.dumps(record, allow_nan=False)


def test_damaged_files_still_make_their_claims(tmp_path):
    write_png(tmp_path / "a.png", IMAGE, RECORD)
    data = (tmp_path / "a.png").read_bytes()
    at = data.index(b"AI-generated")
    for damaged, comment in [
        (data[:-200], "AI-generated"),
        (data + b"trailing", "AI-generated"),
        (data[:at] + b"X" + data[at + 1 :], "XI-generated"),
    ]:
        (tmp_path / "a.png").write_bytes(damaged)
        assert read_record(tmp_path / "a.png")["Comment"] == comment


def test_broken_exif_claims_nothing(tmp_path, recwarn):
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = json.dumps(RECORD)
    whole = exif.tobytes()
    for broken in (whole[:20], whole[:30], whole[:8] + b"\xff" * 40):
        Image.fromarray(IMAGE).save(tmp_path / "a.webp", exif=broken)
        assert read_record(tmp_path / "a.webp") == {}
    assert not recwarn.list


def test_hostile_text_is_bounded(tmp_path):
    write_png(tmp_path / "a.png", IMAGE, RECORD)
    bomb = zlib.compress(bytes(50_000_000))
    with_chunks(
        tmp_path / "a.png",
        chunk(b"zTXt", b"bomb\0\0" + bomb),
        chunk(b"zTXt", b"broken\0\0no zlib"),
        chunk(b"iTXt", b"short\0"),
        chunk(b"iTXt", b"not utf-8\0\0\0\0\0\xff\xfe"),
        chunk(b"tEXt", b""),
    )
    record = read_record(tmp_path / "a.png")
    assert len(record["bomb"]) == 1 << 20
    assert record["broken"] == record["short"] == ""
    assert record["not utf-8"] == "\ufffd\ufffd"
    assert record["Seed"] == "7"


def test_no_images_are_refused(tmp_path):
    write_png(tmp_path / "a.png", IMAGE, RECORD)
    data = (tmp_path / "a.png").read_bytes()
    for name, content, message in [
        ("empty.png", b"", "is empty"),
        ("text.png", b"hello\n", "is not an image"),
        ("only.png", data[:8], "is not an image"),
        ("headless.png", data[:8] + data[33:], "is not an image"),
        ("riff.webp", b"RIFF\x04\x00\x00\x00WEBP", "is not an image"),
        ("short.gif", b"GIF89a", "is not an image"),
        ("page.gif", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            read_record(tmp_path / name)
        assert "\n" not in str(caught.value)
    for missing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            read_record(missing)
