"""Pictures by rule: what is drawn by lot, and how scenes pass into each other."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import randomness
from gen_jax.methods import rules

SHAPES = {"shapes": (24, 32, 3), "strokes": (28, 28, 1), "solids": (16, 24, 3)}


@pytest.mark.parametrize("kind", SHAPES)
def test_a_scene_is_its_seeds_and_changes_without_a_jump(kind):
    method = rules.rules(kind, SHAPES[kind], 2)
    keys = randomness.image_keys(np.arange(6))
    z = method.latents(None, keys)
    decode, draw = (
        jax.jit(f) for f in (lambda z: method.decode(None, z, {}), lambda keys: method.sample(None, keys, {}, 1.0))
    )
    images = np.asarray(decode(z))
    assert images.shape == (6, *SHAPES[kind]) and images.min() >= 0.0 and images.max() <= 1.0
    np.testing.assert_allclose(draw(keys), images, atol=1e-5)
    np.testing.assert_allclose(draw(keys[::-1]), images[::-1], atol=1e-5, err_msg="whatever it is drawn beside")
    away = lambda a, b: np.abs(np.asarray(a) - b).mean((1, 2, 3))
    assert (away(images[1:], images[:-1]) > 0.005).all(), "other seeds, other scenes"
    moved = np.asarray(decode(z + 1e-3))
    assert (away(moved, images) < 0.1 * away(images, images[::-1])).all() and (moved != images).any()


def test_the_first_is_always_there_and_each_other_one_in_half_of_all_scenes():
    u = np.linspace(0.0005, 0.9995, 1000)
    there = np.asarray(rules.present(u))
    assert (there == 1).mean() == pytest.approx(0.475) and (there == 0).mean() == pytest.approx(0.475)
    method = rules.rules("strokes", (16, 16, 1), 2)
    z = np.array(method.latents(None, randomness.image_keys(np.arange(40))))
    each = 7 + rules.TURNS
    alone, both = (z.copy() for _ in range(2))
    alone[:, each], both[:, each] = -3.0, 3.0
    ink = lambda z: np.asarray(method.decode(None, z, {})).sum((1, 2, 3))
    assert (ink(alone) > 0).all() and (ink(both) >= ink(alone)).all() and ink(both).sum() > 1.3 * ink(alone).sum()


def test_kinds_are_pure_in_four_fifths_and_pass_into_the_next():
    kinds = jnp.array([0.0, 10.0, 20.0, 30.0, 40.0])
    at = lambda u: float(rules.passing(kinds, u))
    assert [at((i + share) / 5) for i in range(5) for share in (0.0, 0.79)] == pytest.approx(
        np.repeat(np.array(kinds), 2), abs=0.01
    )
    assert at(0.19) == pytest.approx(7.5, rel=0.01) and at(0.999) == pytest.approx(1.0, abs=0.4)


def test_colours_are_those_of_hsv():
    for hue in np.linspace(0, 0.99, 12):
        np.testing.assert_allclose(rules.colour(hue), colorsys.hsv_to_rgb(hue, 0.75, 0.95), atol=1e-5)
    grey = rules.grey(jnp.ones((2, 2, 3)), 1)
    np.testing.assert_allclose(grey, 1.0, atol=1e-6)


VOLUMES = {  # of twelve sectors in the place of a circle: sin(2 pi / 12) / (2 pi / 12) of its area
    "sphere": (0, 4 / 3 * np.pi, 0.15),
    "cylinder": (1, 0.95493 * 2 * np.pi * 0.85**2, 1e-3),
    "cone": (2, 0.95493 * 2 / 3 * np.pi, 1e-3),
    "cube": (3, 1.6**3, 1e-3),
    "pyramid": (4, 2 / 3 * 1.6**2, 1e-3),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_solids_are_closed_and_have_their_volumes(name):
    number, volume, rel = VOLUMES[name]
    mesh = rules.solid((number + 0.1) / 5)
    a, b, c = (np.asarray(mesh.corners, np.float64)[mesh.faces[:, i]] for i in range(3))
    assert (np.cross(a, b) * c).sum() / 6 == pytest.approx(volume, rel=rel)
