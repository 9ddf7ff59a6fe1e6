"""Curves against closed forms."""

from math import comb

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.render import curves, sdf

POINTS = jnp.array(np.random.default_rng(0).uniform(2, 14, (5, 2)))


def test_bezier_is_bernsteins_sum():
    t = np.linspace(0, 1, 9)[:, None]
    weights = np.concatenate([comb(4, i) * (1 - t) ** (4 - i) * t**i for i in range(5)], 1)
    np.testing.assert_allclose(weights.sum(1), 1.0)
    np.testing.assert_allclose(curves.bezier(POINTS, 8), weights @ np.asarray(POINTS), rtol=1e-5)


@pytest.mark.parametrize("basis", [curves.B_SPLINE, curves.CATMULL_ROM])
def test_weights_add_up_to_one(basis):
    np.testing.assert_allclose(basis.sum(1), [1, 0, 0, 0], atol=1e-7)


def test_catmull_rom_passes_through_its_points_and_has_their_tangents():
    line = np.asarray(curves.catmull_rom(POINTS, 1000))
    np.testing.assert_allclose(line[::1000], POINTS, atol=1e-5)
    slope = (line[2001] - line[1999]) / 2 * 1000
    np.testing.assert_allclose(slope, (POINTS[3] - POINTS[1]) / 2, atol=0.02)


def test_a_b_spline_is_smooth_where_its_pieces_meet():
    line = np.asarray(curves.b_spline(POINTS, 1000), np.float64)
    assert len(line) == 2001
    np.testing.assert_allclose(line[1000], (POINTS[1] + 4 * POINTS[2] + POINTS[3]) / 6, rtol=1e-5)
    first = [(line[1000] - line[990]) / 0.01, (line[1010] - line[1000]) / 0.01]
    np.testing.assert_allclose(*first, atol=0.5)


@pytest.mark.parametrize("curve", [curves.b_spline, curves.catmull_rom, curves.bezier])
def test_points_on_a_line_make_a_line(curve):
    points = jnp.stack([jnp.arange(5.0), 2 * jnp.arange(5.0) + 1], 1)
    x, y = curve(points, 7).T
    np.testing.assert_allclose(y, 2 * x + 1, atol=1e-5)


def test_a_stroke_is_the_distance_to_its_line():
    p = np.random.default_rng(1).uniform(0, 16, (200, 2))
    t = np.linspace(0, 1, 5001)[:, None]  # many points of the line, none further from the next than 0.003
    line = np.concatenate([a + t * (b - a) for a, b in zip(np.asarray(POINTS), np.asarray(POINTS)[1:], strict=False)])
    theirs = np.linalg.norm(p[:, None] - line, axis=-1).min(1)
    np.testing.assert_allclose(curves.stroke(jnp.array(p), POINTS, 1.5), theirs - 1.5, atol=1e-3)
    thin = curves.stroke(jnp.array(p), POINTS, jnp.array([1.0, 1.0, 0.0, 0.0, 0.0]))
    assert (thin <= curves.stroke(jnp.array(p), POINTS, 0.0)).all()
    assert float(curves.stroke(POINTS[1], POINTS, jnp.array([0.0, 1.0, 0.0, 0.0, 0.0]))) == pytest.approx(-1.0)


def test_a_horizontal_stroke_covers_its_area():
    line = jnp.array([(4.0, 8.0), (12.0, 8.0)])
    cover = sdf.coverage(curves.stroke(sdf.pixels(16, 16), line, 2.0))
    assert float(cover.sum()) == pytest.approx(8 * 4 + np.pi * 4, rel=0.01)
