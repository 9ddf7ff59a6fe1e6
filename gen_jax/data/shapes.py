"""data.name=shapes: scenes by rule (scene.py), drawn when they are asked for (drawing.py), as many as data.scenes says.

Scene and picture number i of a split are a function of (data.seed, i): what is said is drawn uniformly, then where each
object lies, until the picture shows what is said and nothing that could be taken for something else.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from gen_jax.data import scene
from gen_jax.data.drawing import CANVAS, RADII, coverage, draw
from gen_jax.data.scene import COLOURS, MOST, PLACES, RELATIONS, SHAPES, SIZES, Object, Scene
from gen_jax.data.source import Source, Splits
from gen_jax.errors import InputError

COMBINATIONS = ("seen", "all")
SIDE = 32
LEAST_SIDE = 16

# In quarters of a pixel, as in drawing.py.
STEP = 4  # centres lie on corners of the canvas's pixels: a shape has one picture, and not one for each part of a pixel
GRIDS = (1, 2, 4)  # pixels
BORDER = 4  # nothing is nearer to the edge of the picture
GAP = 4  # nor to another object, but where one lies in front of the other
MARGIN = 8  # of "left of", how much further left than up or down: at 45 degrees nobody can tell

STREAM = 2**62  # second half of the generator's key, where the order of the images has its epochs
COVERED = (0.25, 0.45)  # the share of an object that another one in front of it hides
WAYS = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])  # to the right, left, down, up

ATTEMPTS = 64  # layouts tried at once
BLOCK = 256  # pictures drawn at once: one compiled program for any number of them
IN_FRONT = RELATIONS.index("in front of")

_number = lambda pairs: np.array([(COLOURS.index(colour), SHAPES.index(shape)) for colour, shape in pairs])
_every = [(colour, shape) for colour in COLOURS for shape in SHAPES]
ALL, UNSEEN = _number(_every), _number(scene.HELD_OUT)
SEEN = _number([pair for pair in _every if pair not in scene.HELD_OUT])


class Numbers(NamedTuple):
    """N scenes as numbers: each word by its place in SIZES, COLOURS, ...; what a scene lacks has any number."""

    count: np.ndarray  # int [N], objects
    size: np.ndarray  # int [N, MOST]
    colour: np.ndarray  # int [N, MOST]
    shape: np.ndarray  # int [N, MOST]
    where: np.ndarray  # int [N, MOST - 1], relations of the first object to the others; of one object its place

    def take(self, rows: np.ndarray) -> "Numbers":
        """Some of the scenes."""
        return Numbers(*(values[rows] for values in self))

    def scenes(self) -> list[Scene]:
        """The scenes in words."""
        found = []
        for count, size, colour, shape, where in zip(*(values.tolist() for values in self), strict=True):
            things = zip(size[:count], colour[:count], shape[:count], strict=True)
            words = (PLACES[where[0]],) if count == 1 else tuple(RELATIONS[how] for how in where[: count - 1])
            found.append(Scene(tuple(Object(SIZES[s], COLOURS[c], SHAPES[f]) for s, c, f in things), words))
        return found

    @property
    def radius(self) -> np.ndarray:
        """int [N, MOST] quarters; 0 of an object that is not there."""
        return np.array(RADII)[self.size] * (np.arange(MOST) < self.count[:, None])


def open_splits(
    *,
    seed: int,
    scenes: int,
    objects: Sequence[int] = (1, 2, 3),
    combinations: str = "seen",
    grid: int = 1,
    side: int = SIDE,
    captions: bool = True,
) -> Splits:
    """`scenes` of training and a tenth as many of the test, RGB, on a dark ground, each with its caption.

    Args:
      seed: of everything.
      objects: how many a scene may have, each number as often as the others.
      combinations: "seen": training scenes have none of `scene.HELD_OUT`; of the test scenes those of odd number have
        one, the others none. "all": any object of any scene may be of any.
      grid: pixels of a canvas of 32x32 from one place where a centre may lie to the next. What lies in front of another
        object or behind it keeps to whole pixels alone.
      side: of the pictures, in pixels.
      captions: whether they are told.

    Raises:
      InputError: numbers of objects that there are not, a side that is too small.
    """
    if not objects or len(set(objects)) < len(objects) or not all(1 <= count <= MOST for count in objects):
        raise InputError(f"data.objects={','.join(map(str, objects))}: give some of 1,2,3, each once")
    if side < LEAST_SIDE:
        raise InputError(f"data.image_size={side}: shapes need a side of {LEAST_SIDE} or more to be told apart")
    told = lambda source: source if captions else source._replace(captions=None, all_captions=None)
    about = (seed, tuple(sorted(objects)), combinations, grid)
    return {
        "train": lambda: told(_source("train", scenes, side, *about)),
        "test": lambda: told(_source("test", max(1, scenes // 10), side, *about)),
    }


def _source(
    split: str, size: int, side: int, seed: int, objects: tuple[int, ...], combinations: str, grid: int
) -> Source:
    words = functools.partial(_words, [seed, STREAM + (split == "test")])

    def numbers(index: np.ndarray) -> Numbers:
        unseen = (index % 2 == 1) & (split == "test" and combinations == "seen")
        return choose(words(index, 0, 16), objects, ALL if combinations == "all" else SEEN, unseen)

    def read(index: np.ndarray) -> tuple[list[np.ndarray], dict]:
        said = numbers(index)
        at = lay_out(said, lambda rows, turn: words(index[rows], turn, ATTEMPTS * MOST), grid)
        return list(pictures(said, at, side)), {}

    return Source(
        size=size,
        read=read,
        describe=lambda index: f"shapes {split} image {index}",
        captions=functools.cache(lambda: list(map(scene.caption, numbers(np.arange(size)).scenes()))),
        all_captions=scene.examples,
        identity=(seed, objects, combinations, grid),
    )


def _words(key: list[int], index: np.ndarray, turn: int, count: int) -> np.ndarray:
    """uint64 [N, count], random numbers for each of the scenes `index`: new ones at each turn."""
    raw = lambda i: np.random.Philox(key=key, counter=[0, turn, i, 0]).random_raw(count)
    return np.stack([raw(i) for i in index.tolist()])


def choose(words: np.ndarray, objects: Sequence[int], pairs: np.ndarray, unseen: np.ndarray) -> Numbers:
    """What is said, by random words uint64 [N, 16].

    Args:
      objects: how many a scene may have.
      pairs: int [P, 2], the colours and shapes that go together.
      unseen: bool [N], the scenes of which one object is of UNSEEN instead.
    """
    words = (words >> np.uint64(1)).astype(np.int64)
    count = np.asarray(objects)[words[:, 0] % len(objects)]
    size, of_pair = words[:, 1:4] % len(SIZES), pairs[words[:, 4:7] % len(pairs)]
    odd = np.where(unseen, words[:, 7] % count, MOST)  # no object has this number
    strange = UNSEEN[words[:, 8] % len(UNSEEN)]
    of_pair = np.where((np.arange(MOST) == odd[:, None])[..., None], strange[:, None], of_pair)
    colour, shape = of_pair[..., 0], of_pair[..., 1]

    where = words[:, 9:11] % len(RELATIONS)
    # Of two things of one colour nobody sees which lies in front.
    where = np.where((where >= IN_FRONT) & (colour[:, 1:] == colour[:, :1]), where - IN_FRONT, where)
    # One lies over another once in a scene, and the second relation is never the opposite of the first: there is no
    # room for three objects side by side.
    where[:, 1] -= np.where((where >= IN_FRONT).all(1), IN_FRONT, 0)
    opposite = (where[:, 0] < IN_FRONT) & (where[:, 1] == where[:, 0] ^ 1)
    where[:, 1] = np.where(opposite, where[:, 0], where[:, 1])
    where[:, 0] = np.where(count == 1, words[:, 11] % len(PLACES), where[:, 0])
    return Numbers(count, size, colour, shape, where)


def lay_out(said: Numbers, words: Callable[[np.ndarray, int], np.ndarray], grid: int = 1) -> np.ndarray:
    """Where the objects of each scene lie: the first layout of many random ones that shows what is said.

    Args:
      words: (rows, turn) -> uint64 [len(rows), ATTEMPTS * MOST], random numbers for these scenes.
      grid: see `open_splits`.

    Returns:
      int [N, MOST, 2] quarters, centres, x to the right and y down.
    """
    found = np.zeros((len(said.count), MOST, 2), np.int64)
    rows, turn = np.arange(len(found)), 1
    while rows.size:
        at, good = _attempts(said.take(rows), words(rows, turn).reshape(-1, ATTEMPTS, MOST), grid)
        done = good.any(1)
        found[rows[done]] = at[done, good[done].argmax(1)]
        rows, turn = rows[~done], turn + 1
    return found


def _attempts(said: Numbers, words: np.ndarray, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Random layouts int [N, A, MOST, 2], and bool [N, A], whether they show what is said. `words` [N, A, MOST]."""
    several, radius = said.count[:, None] > 1, said.radius[:, None]
    there, where = radius > 0, said.where[:, None]
    over = (where >= IN_FRONT) & several[..., None]
    words = (words >> np.uint64(1)).astype(np.int64)

    low = (radius + BORDER)[..., None]
    step = STEP * grid
    at = low + step * (np.stack([words % 2**31, words // 2**31], -1) % ((CANVAS - 2 * low) // step + 1))
    at[:, :, 1:] = np.where(over[..., None], at[:, :, :1] + _overlapping(said, words[:, :, 1:]), at[:, :, 1:])
    good = (((at >= low) & (at <= CANVAS - low)).all(-1) | ~there).all(-1)

    # One object: in its quarter of the picture.
    quarter = np.stack([where[..., 0] % 2, where[..., 0] // 2], -1) * 2 - 1
    good &= several | ((at[:, :, 0] - CANVAS // 2) * quarter >= MARGIN).all(-1)

    # Several: the others lie in their direction from the first.
    away = at[:, :, 1:] - at[:, :, :1]
    along, across = (
        np.take_along_axis(away, (axis % 2)[..., None], -1)[..., 0] for axis in (where // 2, where // 2 + 1)
    )
    along = along * (1 - 2 * (where % 2))
    apart = radius[..., :1] + radius[..., 1:] + GAP
    good &= (over | ~there[..., 1:] | (along >= np.abs(across) + MARGIN) & (along >= apart)).all(-1)
    # And the second and the third do not touch.
    between = np.abs(at[:, :, 1] - at[:, :, 2]).max(-1)
    good &= ~there[..., 2] | (between >= radius[..., 1] + radius[..., 2] + GAP)
    return at, good


def _overlapping(said: Numbers, words: np.ndarray) -> np.ndarray:
    """Where an object lies from the first, if it is in front of that or behind it: int [N, A, MOST - 1, 2]."""
    kind = said.size * len(SHAPES) + said.shape
    first, other = kind[:, :1], kind[:, 1:]
    in_front = said.where == IN_FRONT
    pair = np.where(in_front, first, other)[:, None], np.where(in_front, other, first)[:, None]
    way = words % len(WAYS)
    near, far = (end[*pair, way] for end in reach())
    away = near + STEP * (words // 4 % ((far - near) // STEP + 1))
    away = np.where(in_front[:, None], away, -away)
    return away[..., None] * WAYS[way]


@functools.cache
def reach() -> tuple[np.ndarray, np.ndarray]:
    """How far, at least and at most, one object may lie behind another, by what they are and in which direction.

    So far that the one in front covers a share of COVERED of its pixels: int [K, K, 4] quarters each, by the kind (size
    and shape) of the one in front, of the one behind, and the direction of WAYS from the first to the second.
    """
    far = np.arange(0, 2 * max(RADII), STEP)
    size, shape = (x.ravel() for x in np.indices((len(RADII), len(SHAPES))))
    cover = jax.jit(coverage, static_argnames="side")
    front = cover(shape, np.array(RADII)[size], np.full((len(size), 2), CANVAS // 2), side=SIDE)
    places = CANVAS // 2 + (WAYS[:, None] * far[:, None]).reshape(-1, 2)
    every = lambda x: np.repeat(x, len(places))
    back = cover(every(shape), every(np.array(RADII)[size]), np.tile(places, (len(size), 1)), side=SIDE)
    front, back = (np.asarray(x).reshape(len(size), -1, SIDE**2) for x in (front, back))
    share = np.einsum("fp,bxp->fbx", front[:, 0], back) / back.sum(-1)
    fits = ((share >= COVERED[0]) & (share <= COVERED[1])).reshape(len(size), len(size), len(WAYS), -1)
    return far[fits.argmax(-1)], far[::-1][fits[..., ::-1].argmax(-1)]


def pictures(said: Numbers, at: np.ndarray, side: int) -> np.ndarray:
    """The scenes with their objects at `at` [N, MOST, 2] quarters, uint8 [N, side, side, 3]."""
    # Behind what lies before it, the first in the middle.
    depth = np.concatenate([np.ones_like(said.where[:, :1]), np.where(said.where == IN_FRONT, 0, 2)], 1)
    order = np.argsort(depth, 1, kind="stable")
    arrays = [np.take_along_axis(values, order, 1) for values in (said.shape, said.colour, said.radius)]
    arrays.append(np.take_along_axis(at, order[..., None], 1))
    drawn = []
    for start in range(0, len(at), BLOCK):
        rows = np.minimum(np.arange(start, start + BLOCK), len(at) - 1)
        drawn.append(np.asarray(draw(*(values[rows].astype(np.int32) for values in arrays), side)))
    return np.concatenate(drawn)[: len(at)]
