"""Captions as numbers: the words of a set's own captions, or bytes.

Words are lower-cased and split at white space and punctuation, which is dropped: a word is a run of letters, digits
and underscores, in which single hyphens and apostrophes may stand ("type-1-2", "don't"). Scripts that write no
spaces, or vowels as marks, are better read as bytes, which keep every character of every language.
"""

import collections
import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from gen_jax.errors import InputError

READ_AS = ("words", "bytes", "none")

PAD, BEGIN, END = SPECIAL = range(3)
SPECIAL_NAMES = ("<pad>", "<begin>", "<end>")  # no word holds "<"
# What the Unicode names of pictures of one thing differ by: the colour of its skin, its gender, where it looks. Where
# there are two people, the second one's skin may be a number alone.
VARIANT = re.compile(r"emoji modifier fitzpatrick type-[\d-]+|\d(-\d)?|(fe)?male sign|black rightwards arrow")
PERSON = re.compile(r"\b(man|woman)\b")
LETTERS = re.compile(r"\w+(?:[-'’]\w+)*")


class Words(NamedTuple):
    """How captions become numbers: <begin>, one number a word or byte, <end>, and <pad> up to `length`.

    Attributes:
      length: numbers in an encoded caption, <begin> and <end> among them.
      names: what each number means; empty for bytes, whose number is 3 more than their value.
    """

    length: int
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.names) or 256 + len(SPECIAL)

    def encode(self, captions: Sequence[str], cut: bool = False) -> np.ndarray:
        """int32 [len(captions), length].

        Args:
          cut: drop the end of a caption that is too long.

        Raises:
          InputError: a word that is not among `names`, or, without `cut`, a caption that is too long.
        """
        number = {name: n for n, name in enumerate(self.names)}
        encoded = np.full((len(captions), self.length), PAD, np.int32)
        for row, caption in zip(encoded, captions, strict=True):
            pieces = split(caption) if self.names else [len(SPECIAL) + byte for byte in as_bytes(caption)]
            if self.names:
                if unknown := [word for word in pieces if word not in number]:
                    raise InputError(f"no caption of the set has {self._near(unknown)}")
                pieces = [number[word] for word in pieces]
            if len(pieces) > self.length - 2 and not cut:
                kind = "words" if self.names else "bytes"
                raise InputError(f"{len(pieces)} {kind} are too many; give at most {self.length - 2}")
            pieces = pieces[: self.length - 2]
            row[: len(pieces) + 2] = [BEGIN, *pieces, END]
        return encoded

    def decode(self, tokens: Sequence[int]) -> str:
        """The caption that `tokens` [L] say, up to <end>: the very text where they are bytes, else words and blanks."""
        tokens = list(map(int, tokens))
        tokens = [t for t in (tokens[: tokens.index(END)] if END in tokens else tokens) if t not in SPECIAL]
        if self.names:
            return " ".join(self.names[token] for token in tokens)
        return bytes(token - len(SPECIAL) for token in tokens).decode(errors="replace")

    def _near(self, unknown: Iterable[str]) -> str:
        def with_hint(word: str) -> str:
            near = difflib.get_close_matches(word, self.names[len(SPECIAL) :], n=3)
            return f"{word} (did you mean {' or '.join(near)}?)" if near else word

        return ", ".join(map(with_hint, dict.fromkeys(unknown)))


def learn(captions: Sequence[str], read_as: str, length: int = 0) -> Words:
    """The Words of a set.

    Args:
      captions: all of them, of the test images too: a word that only those have must have its number.
      read_as: "words", sorted by how often they stand there and then by alphabet, or "bytes".
      length: of an encoded caption; 0: of the longest.
    """
    pieces = [split(caption) if read_as == "words" else as_bytes(caption) for caption in captions]
    length = length or 2 + max(map(len, pieces))
    if read_as == "bytes":
        return Words(length)
    count = collections.Counter(word for words in pieces for word in words)
    return Words(length, (*SPECIAL_NAMES, *sorted(count, key=lambda word: (-count[word], word))))


def split(caption: str) -> list[str]:
    """The words of a caption (see the top of this file)."""
    return LETTERS.findall(unicodedata.normalize("NFC", caption.lower()))


def as_bytes(caption: str) -> bytes:
    """UTF-8; what has no UTF-8 (half a surrogate pair) becomes a question mark."""
    return caption.encode(errors="replace")


def name(caption: str) -> str:
    """What a caption of comma-separated names is about: "man, emoji modifier fitzpatrick type-4, scales", of whatever
    skin, gender and direction, is "adult, scales". Other captions are names of their own.
    """
    parts = [part.strip() for part in caption.lower().split(",")]
    about = [part for part in parts if not VARIANT.fullmatch(part)] or parts
    return PERSON.sub("adult", ", ".join(about))
