"""Scenes of one to three objects, and the sentences that say all that counts of them.

    a small red circle at the top left
    a small red circle above a large blue square
    a large white cross left of a small red circle and in front of a large blue square

One object has a place; of several, the first stands in a relation to each of the others. `caption` and `parse` are
inverse to each other: a scene says no more and no less than its sentence, so an image can be checked against it.
"""

import re
from typing import NamedTuple

from gen_jax.errors import InputError

SIZES = ("small", "large")
COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = ("circle", "square", "triangle", "cross")
PLACES = ("at the top left", "at the top right", "at the bottom left", "at the bottom right")
RELATIONS = ("left of", "right of", "above", "below", "in front of", "behind")  # each beside its opposite
MOST = 3  # objects

# What a model never sees in training, of any size: it knows the colours from other shapes, the shapes in other colours.
HELD_OUT = (("green", "triangle"), ("yellow", "circle"), ("purple", "square"), ("white", "cross"))


class Object(NamedTuple):
    """One thing of a scene: words of SIZES, COLOURS and SHAPES."""

    size: str
    colour: str
    shape: str


class Scene(NamedTuple):
    """What a sentence says: the objects, and (place,) of one, or a relation of the first to each further one."""

    objects: tuple[Object, ...]
    where: tuple[str, ...]


def caption(scene: Scene) -> str:
    """The sentence of a scene."""
    first, *others = (f"a {' '.join(thing)}" for thing in scene.objects)
    if not others:
        return f"{first} {scene.where[0]}"
    return f"{first} {' and '.join(f'{how} {thing}' for how, thing in zip(scene.where, others, strict=True))}"


def _one_of(words):
    return f"({'|'.join(words)})"


_THING = f"a {_one_of(SIZES)} {_one_of(COLOURS)} {_one_of(SHAPES)}"
_OTHER = f"{_one_of(RELATIONS)} {_THING}"
_SENTENCE = re.compile(f"{_THING} (?:{_one_of(PLACES)}|{_OTHER}(?: and {_OTHER})?)")


def parse(sentence: str) -> Scene:
    """The scene of a sentence, whatever its case and its white space.

    Raises:
      InputError: no sentence of this grammar.
    """
    found = _SENTENCE.fullmatch(" ".join(sentence.lower().split()))
    if not found:
        raise InputError(f"{sentence!r} is no sentence about shapes; write as in {_EXAMPLE!r}")
    words = found.groups()
    if words[3]:
        return Scene((Object(*words[:3]),), (words[3],))
    starts = [start for start in (4, 8) if words[start]]
    others = [Object(*words[start + 1 : start + 4]) for start in starts]
    return Scene((Object(*words[:3]), *others), tuple(words[start] for start in starts))


def held_out(scene: Scene) -> bool:
    """Whether one of its objects is of a colour and shape that training leaves out together."""
    return any((thing.colour, thing.shape) in HELD_OUT for thing in scene.objects)


def examples() -> list[str]:
    """Few sentences that hold every word of the grammar, and the longest that it has."""
    things = [Object(size, colour, shape) for size in SIZES for colour in COLOURS for shape in SHAPES]
    alone = [Scene((thing,), (place,)) for thing in things for place in PLACES]
    return [caption(scene) for scene in (*alone, *(Scene((things[0],) * MOST, (how,) * 2) for how in RELATIONS))]


_EXAMPLE = caption(Scene((Object("small", "red", "circle"), Object("large", "blue", "square")), ("above",)))
