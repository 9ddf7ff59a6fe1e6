"""What an image claims of itself in its text: PNG text chunks, EXIF description, GIF comment.

A claim is no evidence. Anybody can write one, change it or strip it.
"""

import io
import json
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image

from gen_jax.errors import InputError
from gen_jax.runtime import files

PNG = b"\x89PNG\r\n\x1a\n"
# The formats that gen_jax reads or writes; no other decoder of Pillow's is let near a foreign file.
FORMATS = ("PNG", "WEBP", "GIF", "JPEG")
# Enough for any record; a compressed text that grows beyond it is cut off.
LONGEST_TEXT = 1 << 20


class Chunk(NamedTuple):
    """One chunk of a PNG file."""

    # Four bytes, as b"tEXt".
    kind: bytes
    body: bytes
    # Whether the chunk is complete and its checksum right.
    intact: bool


def read_record(path: str | Path) -> dict:
    """What the image at `path` claims: {name: value}, empty where it claims nothing.

    Reads the text chunks of a .png (PNG specification, 11.3.3), the EXIF image description of a .webp or
    .jpg, the comment of a .gif or .jpg. A description or comment that is a JSON object is taken apart. A
    damaged PNG still makes its claims: whatever of its text can be read is returned.

    Raises:
      InputError: no such file, or not an image.
    """
    data = read_bytes(path)
    if data.startswith(PNG):
        return _png_text(path, data)
    image = open_image(path, data)
    try:
        with warnings.catch_warnings(action="ignore"):
            record = _parsed("ImageDescription", image.getexif().get(ExifTags.Base.ImageDescription))
    except Exception:  # A foreign EXIF block may be broken in any way; then it claims nothing.
        record = {}
    return {**record, **_parsed("Comment", image.info.get("comment"))}


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a file; InputError where it cannot be read or is empty."""
    try:
        data = files.read_bytes(Path(path))
    except OSError as error:
        raise InputError(f"cannot read {path} ({files.reason(error)}); check the path") from error
    if not data:
        raise InputError(f"{path} is empty; give a .png, .webp, .gif or .jpg image")
    return data


def open_image(path: str | Path, data: bytes) -> Image.Image:
    """The Pillow image of `data`, its pixels not decoded; InputError, which names `path`, where it is none."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # A foreign file may break a decoder in any way.
        raise _no_image(path) from error


def png_chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG file up to its end or to the first cut. Nothing is decoded."""
    position = len(PNG)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        body = data[position + 8 : position + 8 + length]
        checksum = data[position + 8 + length : position + 12 + length]
        # A chunk that was cut short has less than four bytes of checksum, so it is not intact either.
        yield Chunk(kind, body, checksum == zlib.crc32(kind + body).to_bytes(4, "big"))
        if kind == b"IEND":
            return
        position += 12 + length


def _png_text(path, data) -> dict:
    chunks = list(png_chunks(data))
    if not chunks or chunks[0].kind != b"IHDR":
        raise _no_image(path)
    return dict(_text(chunk) for chunk in chunks if chunk.kind in (b"tEXt", b"zTXt", b"iTXt"))


def _text(chunk) -> tuple[str, str]:
    """Keyword and text; Pillow would refuse the whole file for one damaged chunk, and so hide its claims."""
    keyword, _, rest = chunk.body.partition(b"\0")
    encoding, compressed = "latin-1", chunk.kind == b"zTXt"
    if compressed:
        rest = rest[1:]
    if chunk.kind == b"iTXt":
        encoding, compressed = "utf-8", rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if compressed:
        try:
            rest = zlib.decompressobj().decompress(rest, LONGEST_TEXT)
        except zlib.error:
            rest = b""
    return keyword.decode("latin-1"), rest.decode(encoding, "replace")


def _parsed(name, text) -> dict:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not text:
        return {}
    try:
        record = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError, TypeError):
        record = None
    return record if isinstance(record, dict) else {name: str(text)}


def _no_image(path) -> InputError:
    return InputError(f"{path} is not an image that can be read; give a .png, .webp, .gif or .jpg")
