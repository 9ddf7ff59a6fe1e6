"""What the words of a sweep mean: texts in, values out.

    1e-4,3e-4        these values                        range(0,5)  range(0,1,0.25)   the numbers from, up to, by
    log(1e-5,1e-2)   any number between, by its logarithm    uniform(0,1)   any number     int(1,8)   any whole number

Values and ranges make a grid; with an interval among them they make a search. Brackets and quotes hold commas together:
(200,200),(400,400) are two tuples.
"""

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gen_jax.errors import InputError
from gen_jax.field import whole

Overrides = tuple[tuple[str, str], ...]  # (dotted path, text), as `gen_jax.config.load` takes them
INTERVALS = ("log", "uniform", "int")
LARGEST = 10_000  # values of one range, and cells of one grid: more is a slip of the hand


class Choice(NamedTuple):
    """One of these texts, each what a flag of `gen-jax train` would say."""

    texts: tuple[str, ...]


class Interval(NamedTuple):
    """A number from `low` to `high`, both included; by its logarithm for "log", a whole one for "int"."""

    kind: str
    low: float
    high: float


def meaning(path: str, text: str, is_tuple: bool = False) -> Choice | Interval:
    """What the text of a flag asks for; a Choice of one text is a plain value.

    Args:
      path: the field, for messages.
      is_tuple: whether the field is a tuple: then 200,200 is one value, as it is for `gen-jax train`, and what is
        swept stands in brackets.

    Raises:
      InputError: an empty value, a range or an interval that holds nothing, an unknown word before brackets.
    """
    flag = f"--config.{path}={text}"
    call = re.fullmatch(r"\s*([A-Za-z_]\w*)\((.*)\)\s*", text)
    if call and balanced(call[2]):
        name, words = call[1], [word.strip() for word in call[2].split(",")]
        if name not in ("range", *INTERVALS):
            raise InputError(
                f"{flag}: no such word; there are: a,b  range(a,b[,step])  log(a,b)  uniform(a,b)  int(a,b)"
            )
        return Choice(_range(flag, words)) if name == "range" else _interval(flag, name, words)
    parts = split(text)
    if is_tuple and not all(part.strip().startswith(("(", "[")) for part in parts):
        return Choice((text,))
    if len(parts) > 1 and not all(part.strip() for part in parts):
        raise InputError(f"{flag}: an empty value between the commas; leave it out")
    return Choice(tuple(dict.fromkeys(part.strip() for part in parts)) if len(parts) > 1 else (text,))


def split(text: str) -> list[str]:
    """The parts between those commas that stand in no bracket and no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += 0 if quote else (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def balanced(text: str) -> bool:
    """Whether no bracket closes before it was opened, so that the brackets around the text belong together."""
    depths = itertools.accumulate((letter in "([{") - (letter in ")]}") for letter in text)
    return all(depth >= 0 for depth in depths)


def _range(flag, words):
    try:
        low, high, step = [_number(word) for word in (*words, "1")[:3]] if len(words) in (2, 3) else [None] * 3
        if low is None:
            raise ValueError
    except ValueError:
        raise InputError(f"{flag}: expected range(from, up to) or range(from, up to, step)") from None
    count = math.ceil((high - low) / step - 1e-9) if step else 0
    if count < 1:
        raise InputError(f"{flag}: no number in it; it goes from the first up to the last, by a step other than 0")
    if count > LARGEST:
        raise InputError(f"{flag}: {count:,} numbers; must be <= {LARGEST:,}")
    # 0.1 * 3 is 0.30000000000000004: what was meant has fewer digits.
    values = [low + i * step for i in range(count)]
    return tuple(repr(float(f"{v:.12g}")) if isinstance(v, float) else str(v) for v in values)


def _number(word):
    try:
        return whole(word) if re.fullmatch(r"[+-]?\d+", word) else float(word)
    except OverflowError:
        raise ValueError(word) from None


def _interval(flag, name, words):
    try:
        low, high = [float(whole(word)) if name == "int" else float(word) for word in words]
    except (ValueError, OverflowError):
        kind = "two whole numbers" if name == "int" else "two numbers"
        raise InputError(f"{flag}: expected {kind}, as in {name}({'1,8' if name == 'int' else '1e-4,1e-2'})") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"{flag}: the first number must be below the second")
    if name == "log" and low <= 0:
        raise InputError(f"{flag}: a logarithm needs numbers above 0")
    return Interval(name, low, high)


def grid(fields: Sequence[tuple[str, Choice]]) -> list[Overrides]:
    """Every combination, the last field moving fastest; of no field one empty cell.

    Raises:
      InputError: more than `LARGEST`.
    """
    count = math.prod(len(choice.texts) for _, choice in fields)
    if count > LARGEST:
        raise InputError(
            f"a grid of {count:,} cells; must be <= {LARGEST:,}: give fewer values, or search (log, uniform)"
        )
    combinations = itertools.product(*(choice.texts for _, choice in fields))
    return [tuple(zip((path for path, _ in fields), texts, strict=True)) for texts in combinations]


def written(value: object) -> str:
    """The text of a flag that means `value`."""
    return value if isinstance(value, str) else repr(value)


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Dotted path -> its shortest ending that no other path has: learning_rate of optimizer.learning_rate."""
    paths = list(paths)

    def ending(path, parts):
        return ".".join(path.split(".")[-parts:])

    names = {}
    for path in paths:
        lengths = range(1, path.count(".") + 2)
        alone = (n for n in lengths if sum(ending(p, n) == ending(path, n) for p in paths) == 1)
        names[path] = ending(path, next(alone, lengths[-1]))
    return names
