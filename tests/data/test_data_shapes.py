"""Scenes by rule: what is said, what is drawn, and that the one is what the other shows."""

import collections
import itertools
import re

import numpy as np
import pytest

from gen_jax import data
from gen_jax.data import drawing, scene, shapes, text
from gen_jax.data.scene import COLOURS, PLACES, RELATIONS, SHAPES, SIZES, Object, Scene, caption, held_out, parse
from gen_jax.errors import InputError

THINGS = [Object(*words) for words in itertools.product(SIZES, COLOURS, SHAPES)]


def opened(**options):
    return data.make(**{"name": "shapes", "batch_size": 8, "scenes": 100, **options})


def scenes(split="train", **options):
    """What the pictures of a split show; none is drawn."""
    source = shapes.open_splits(**{"seed": 0, "scenes": 3000, **options})[split]()
    return [parse(sentence) for sentence in source.captions()]


def test_every_scene_of_one_and_many_of_more_objects_are_what_their_sentences_say():
    alone = [Scene((thing,), (place,)) for thing in THINGS for place in PLACES]
    pairs = [Scene((a, b), (how,)) for a, b in itertools.product(THINGS, THINGS) for how in RELATIONS]
    rng = np.random.default_rng(0)
    some = rng.integers(0, len(THINGS), (3000, 3))
    threes = [
        Scene(tuple(THINGS[n] for n in row), (RELATIONS[i % 6], RELATIONS[i // 6 % 6])) for i, row in enumerate(some)
    ]
    every = alone + pairs + threes
    sentences = [caption(one) for one in every]
    assert [parse(sentence) for sentence in sentences] == every
    assert len(set(sentences)) == len(set(every))
    assert parse("  A small RED circle\n at the  top left ") == parse("a small red circle at the top left") in every


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "a small red circle",
        "a small red circle near a large blue square",
        "a small red circle above a large blue square and",
        "a small red circle at the top left above a large blue square",
        "small red circle at the top left",
        "a small red circle above a large blue square above a small red cross",
    ],
)
def test_what_is_no_sentence_is_refused(sentence):
    with pytest.raises(InputError, match="no sentence about shapes; write as in 'a small red circle above"):
        parse(sentence)


def test_the_words_and_the_greatest_length_are_known_without_reading_the_captions():
    few = scene.examples()
    assert len(few) < 300
    words = text.learn(few, "words")
    assert words.size == 3 + len(SIZES + COLOURS + SHAPES) + len(
        " ".join(("a", "and", *PLACES, *RELATIONS)).split()
    ) - sum(n - 1 for n in collections.Counter(" ".join((*PLACES, *RELATIONS)).split()).values())
    rng = np.random.default_rng(1)
    for row in rng.integers(0, len(THINGS), (500, 3)):
        objects = tuple(THINGS[n] for n in row)
        words.encode([caption(Scene(objects, tuple(rng.choice(RELATIONS, 2).tolist())))])  # or it refuses
    one = opened(objects=(1,)).spec.conditions["text"]
    assert one == opened(objects=(3,), seed=5).spec.conditions["text"]  # so that a model of one may read the other
    assert one.shape == (words.length,) and one.names == words.names


def test_a_scene_is_a_function_of_the_seed_and_its_number_alone():
    whole, longer = opened(), opened(scenes=120)
    some = np.array([99, 3, 0, 3])
    a, b = whole.gather(some), longer.gather(some)
    read = opened(resident_megabytes=0)
    assert read.resident is None
    c = read.gather(some)
    for other in (b, c):
        assert (a["image"] == other["image"]).all() and (a["condition"]["text"] == other["condition"]["text"]).all()
    assert (opened(seed=1).gather(some)["image"] != a["image"]).any()
    test = opened(split="test")
    assert test.spec == whole.spec._replace(size=10)
    assert (test.gather(np.arange(10))["image"] != whole.gather(np.arange(10))["image"]).any((1, 2, 3)).all()
    assert whole.fingerprint() == opened().fingerprint() != opened(seed=1).fingerprint()
    prints = {
        opened(resident_megabytes=0, text="none", **o).fingerprint() for o in ({}, {"seed": 1}, {"objects": (1, 2)})
    }
    assert len(prints) == 3


def test_all_is_drawn_as_often_and_what_is_held_out_is_in_every_second_test_scene_alone():
    train, test = scenes(), scenes("test")
    assert not any(map(held_out, train))
    assert [held_out(one) for one in test] == [False, True] * 150
    counts = collections.Counter(len(one.objects) for one in train)
    assert set(counts) == {1, 2, 3} and all(abs(n - 1000) < 130 for n in counts.values())  # 5 standard deviations
    seen = collections.Counter((thing.colour, thing.shape) for one in train for thing in one.objects)
    expected = sum(seen.values()) / 20
    assert len(seen) == 20 and all(abs(n - expected) < 5 * expected**0.5 for n in seen.values())
    for words in (COLOURS, SHAPES):  # each is known from others
        assert all(any(word in pair for pair in seen) for word in words)
    every = scenes(combinations="all")
    assert len({(thing.colour, thing.shape) for one in every for thing in one.objects}) == 24
    assert 0.2 < np.mean(list(map(held_out, every))) < 0.45  # 1 - (5/6)^n: 0.17, 0.31, 0.42
    only = scenes(objects=(2,))
    assert {len(one.objects) for one in only} == {2} and {one.where[0] for one in only} == set(RELATIONS)


@pytest.fixture(scope="module", params=[1, 4], ids="grid {}".format)
def laid_out(request):
    """600 scenes as Numbers, and where their objects lie."""
    index = np.arange(600)
    words = lambda rows, turn, count=shapes.ATTEMPTS * scene.MOST: shapes._words([7, 0], rows, turn, count)
    said = shapes.choose(words(index, 0, 16), (1, 2, 3), shapes.ALL, np.zeros(600, bool))
    return said, shapes.lay_out(said, words, request.param)


@pytest.mark.parametrize("laid_out", [1, 2, 4], indirect=True)
def test_centres_lie_on_the_grid(laid_out, request):
    said, at = laid_out
    there = np.arange(scene.MOST) < said.count[:, None]
    there[:, 1:] &= said.where < shapes.IN_FRONT  # what overlaps another object keeps to whole pixels alone
    steps = at - said.radius[..., None] - shapes.BORDER
    grid = 4 * request.node.callspec.params["laid_out"]
    assert not (steps[there] % grid).any() and len(np.unique(at[there], axis=0)) > 50
    assert (steps[there] % (2 * grid)).any(), "and on no coarser one"


def masks(said, at, side=32):
    """How much each object of each scene covers, alone: float [N, 3, side, side]."""
    draw = lambda k: drawing.coverage(said.shape[:, k], said.radius[:, k], at[:, k], side)
    return np.stack([np.asarray(draw(k)) for k in range(3)], 1)


def test_objects_lie_as_is_said(laid_out):
    said, at = laid_out
    for one, count, radius, (a, *others) in zip(said.scenes(), said.count, said.radius, at, strict=True):
        for place, r in zip((a, *others), radius[:count], strict=False):
            assert (place >= r).all() and (place <= 128 - r).all()
        if count == 1:
            vertical, horizontal = one.where[0].split()[-2:]
            assert a[1] <= 56 if vertical == "top" else a[1] >= 72
            assert a[0] <= 56 if horizontal == "left" else a[0] >= 72
        for how, b in zip(one.where if count > 1 else (), others, strict=False):
            x, y = b - a
            away = {"left of": (x, y), "right of": (-x, y), "above": (y, x), "below": (-y, x)}
            if how in away:
                along, across = away[how]
                assert along >= abs(across) + 8


def test_what_lies_in_front_is_seen_to_and_nothing_else_touches(laid_out):
    said, at = laid_out
    covers = masks(said, at)
    area = covers.sum((2, 3))
    for j, k in ((0, 1), (0, 2), (1, 2)):
        both = (covers[:, j] * covers[:, k]).sum((1, 2))
        over = (said.where[:, k - 1] >= shapes.IN_FRONT) & (said.count > k) & (j == 0)
        assert both[~over].max() == 0.0
        assert (both[over] > 6.0).all() and over.any() == (j == 0)  # pixels
        back = np.where(said.where[:, k - 1] == shapes.IN_FRONT, area[:, k], area[:, j])
        assert ((back - both)[over] > 0.5 * back[over]).all()
        assert (said.colour[over, j] != said.colour[over, k]).all()


def test_whatever_overlaps_whatever_it_is_seen():
    """All shapes, sizes, directions and distances of two objects of which one lies in front."""
    kinds = list(itertools.product(drawing.RADII, range(len(SHAPES))))
    near, far = shapes.reach()
    rows = [
        (front, back, way, away)
        for front, back, way in itertools.product(range(8), range(8), range(4))
        for away in range(near[front, back, way], far[front, back, way] + 1)
    ]
    rows = np.array(rows)
    assert len(np.unique(rows[:, :3], axis=0)) == 256 and len(rows) > 1000

    def cover(kind, at):
        radius, shape = np.array(kinds)[kind].T
        return np.asarray(drawing.coverage(shape, radius, at, 32))

    over = cover(rows[:, 0], np.full((len(rows), 2), 64))
    under = cover(rows[:, 1], 64 + rows[:, 3:] * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])[rows[:, 2]])
    both, area = (over * under).sum((1, 2)), under.sum((1, 2))
    assert both.min() > 7.0  # pixels
    assert (both / area).min() > 0.24 and (both / area).max() < 0.46


def test_a_picture_is_its_shapes_counted_by_points():
    """Areas against a fine grid of points that shapes are defined by, whatever their distance is."""
    fine = (np.arange(320) + 0.5) / 10 - 16
    y, x = np.meshgrid(fine, fine, indexing="ij")
    r = 6.0  # pixels
    inside = {
        "circle": x**2 + y**2 <= r**2,
        "square": (abs(x) <= 0.9 * r) & (abs(y) <= 0.9 * r),
        "triangle": (y <= r) & (2 * abs(x) <= y + r),
        "cross": (abs(x) <= 0.4 * r) & (abs(y) <= r) | (abs(x) <= r) & (abs(y) <= 0.4 * r),
    }
    for n, name in enumerate(SHAPES):
        points = inside[name].reshape(32, 10, 32, 10).mean((1, 3))
        (found,) = np.asarray(drawing.coverage(np.array([n]), np.array([24]), np.array([[64, 64]]), 32))
        assert abs(found - points).max() < 0.3 and found.sum() == pytest.approx(points.sum(), rel=0.03), name
        assert (16 * found == np.round(16 * found)).all()


def test_objects_have_their_colours_and_lie_over_each_other():
    whole = {"shape": [[1, 1]], "radius": [[24, 24]], "centre": [[[64, 64], [64, 64]]]}
    arrays = {name: np.array(value, np.int32) for name, value in whole.items()}
    (image,) = np.asarray(drawing.draw(colour=np.array([[0, 2]], np.int32), side=32, **arrays))
    assert image[16, 16].tolist() == drawing.PALETTE[2].tolist() and image[0, 0].tolist() == [32, 32, 32]
    arrays["radius"] = np.array([[24, 0]], np.int32)
    (image,) = np.asarray(drawing.draw(colour=np.array([[0, 2]], np.int32), side=32, **arrays))
    assert image[16, 16].tolist() == drawing.PALETTE[0].tolist()


def test_other_sides_show_the_same():
    small, large = opened(scenes=40), opened(scenes=40, image_size=64)
    assert large.spec.shape == (64, 64, 3) and large.spec.conditions == small.spec.conditions
    a, b = (d.gather(np.arange(40))["image"].astype(float) for d in (small, large))
    halved = b.reshape(40, 32, 2, 32, 2, 3).mean((2, 4))
    assert abs(halved - a).mean() < 1.5 and abs(halved - a).max() < 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objects": (0, 1)}, "data.objects=0,1: give some of 1,2,3, each once"),
        ({"objects": (1, 4)}, "data.objects=1,4: give some of 1,2,3"),
        ({"objects": ()}, "data.objects=: give some of 1,2,3"),
        ({"objects": (2, 2)}, "data.objects=2,2: give some of 1,2,3"),
        ({"scenes": 3}, "data.scenes=3: must be >= 10"),
        ({"image_size": 8}, "data.image_size=8: shapes need a side of 16 or more"),
        ({"combinations": "new"}, "data.combinations=new: must be one of seen, all"),
        ({"path": "x"}, "data.path=x: data.name=shapes takes none"),
        ({"labels": "file"}, "data.labels=file: data.name=shapes does not take it; set data.name=folder"),
        ({"split_by": "name"}, "data.split_by=name: data.name=shapes does not take it; leave it out"),
        ({"name": "digits"}, "data.scenes=100: data.name=digits does not take it; set data.name=shapes"),
        ({"name": "shape", "scenes": 20_000}, "data.name=shape: no such data set; did you mean shapes?"),
    ],
)
def test_what_does_not_go_is_refused(options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        opened(**options)
