"""Meshes on the screen: what is covered once, what is hidden, what is interpolated, and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.render import sdf, triangles

FLAT = lambda corners: jnp.array([(x, y, 0.5) for x, y in corners])


def alone(triangle, height=12, width=12):
    return triangles.visible(FLAT(triangle), jnp.array([[0, 1, 2]]), height, width).face == 0


@pytest.mark.parametrize("around", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 2, 3, 0)])
def test_a_square_of_two_triangles_covers_each_pixel_once(around):
    """Its diagonal and its sides go through centres of pixels."""
    corners = [(2.5, 2.5), (9.5, 2.5), (9.5, 9.5), (2.5, 9.5)]
    a, b, c, d = (corners[i] for i in around)
    counts = alone((a, b, c)).astype(int) + alone((a, c, d))
    assert counts.max() == 1 and counts.sum() == 7 * 7
    # Top and left edges belong to it, bottom and right ones do not.
    np.testing.assert_array_equal(counts[2:9, 2:9], 1)


def test_a_fan_of_random_triangles_covers_its_inside_once():
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
    ring = [(6 + 5 * np.cos(a), 6 + 5 * np.sin(a)) for a in angle]
    total = sum(alone(((6.5, 6.5), ring[i], ring[(i + 1) % 9])).astype(int) for i in range(9))
    inside = sdf.polygon(sdf.pixels(12, 12), jnp.array(ring)) < 0
    np.testing.assert_array_equal(total, inside)


def test_direction_of_the_corners_does_not_matter_and_no_area_is_not_seen():
    triangle = ((1.2, 1.1), (10.3, 3.0), (4.0, 9.7))
    np.testing.assert_array_equal(alone(triangle), alone(triangle[::-1]))
    assert not alone(((1.0, 1.0), (5.0, 5.0), (9.0, 9.0))).any()
    assert not alone(((1.0, 1.0), (1.0, 1.0), (9.0, 5.0))).any()


def test_weights_are_barycentric():
    corners = FLAT(((1.0, 1.0), (11.0, 2.0), (3.0, 10.0)))
    faces = jnp.array([[0, 1, 2]])
    seen = triangles.visible(corners, faces, 12, 12)
    there = seen.face == 0
    np.testing.assert_allclose(seen.weights[there].sum(-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(seen.weights[there] @ corners[:, :2], sdf.pixels(12, 12)[there], atol=1e-4)
    assert (seen.weights[~there] == 0).all()
    # So a linear function of the place is drawn as itself.
    values = (2 * corners[:, :1] - corners[:, 1:2] + 3.0) / 10
    drawn = triangles.interpolated(seen, faces, values)[..., 0]
    x, y = jnp.moveaxis(sdf.pixels(12, 12), -1, 0)
    np.testing.assert_allclose(drawn[there], ((2 * x - y + 3) / 10)[there], atol=1e-5)


def test_the_nearer_one_is_seen_pixel_by_pixel():
    """Two triangles that pass through each other, of depth x / 12 and 1 - x / 12."""
    corners = jnp.array([(0, 0, 0.0), (12, 0, 1.0), (6, 12, 0.5), (0, 0, 1.0), (12, 0, 0.0), (6, 12, 0.5)])
    face = triangles.visible(corners, jnp.array([[0, 1, 2], [3, 4, 5]]), 12, 12).face
    for row in range(10):
        seen = np.asarray(face[row])
        assert (seen[:6] != 1).all() and (seen[6:] != 0).all() and {0, 1} <= {*seen.tolist()}


def hard(corners):
    faces = jnp.array([[0, 1, 2]])
    seen = triangles.visible(corners, faces, 12, 12)
    return jnp.where(seen.face == 0, 1.0, 0.0)


def soft(corners, blur=0.5, nearness=0.5):
    colours = jnp.ones((1, 1), corners.dtype)
    return triangles.soft(corners, jnp.array([[0, 1, 2]]), colours, jnp.zeros(1), 12, 12, blur, nearness)


def test_soft_becomes_hard():
    corners = FLAT(((1.3, 1.1), (10.4, 3.0), (4.0, 9.7)))
    away = jnp.abs(sdf.polygon(sdf.pixels(12, 12), corners[:, :2])) > 0.6
    np.testing.assert_allclose(soft(corners, blur=0.02, nearness=0.04)[..., 0][away], hard(corners)[away], atol=1e-3)


def test_soft_has_gradients_where_hard_has_none():
    corners = FLAT(((1.3, 1.1), (10.4, 3.0), (4.0, 9.7)))
    assert (jax.grad(lambda c: hard(c).sum())(corners) == 0).all()
    with jax.enable_x64(True):
        corners = jnp.asarray(np.asarray(corners), jnp.float64)
        weights = jnp.asarray(np.random.default_rng(0).normal(size=(12, 12)))
        value = jax.jit(lambda c: (weights * soft(c)[..., 0]).sum())
        gradient = jax.jit(jax.grad(value))(corners)
        assert (jnp.abs(gradient) > 1e-3).all(), "to each corner's x, y and depth"
        for place in [(0, 0), (1, 1), (2, 2)]:
            h = 1e-6
            numeric = (value(corners.at[place].add(h)) - value(corners.at[place].add(-h))) / (2 * h)
            assert float(gradient[place]) == pytest.approx(float(numeric), abs=1e-5)


def test_soft_hides_what_is_behind():
    corners = jnp.array([(0, 0, 0.2), (12, 0, 0.2), (6, 24, 0.2), (0, 0, 0.6), (12, 0, 0.6), (6, 24, 0.6)])
    colours = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    drawn = triangles.soft(corners, jnp.array([[0, 1, 2], [3, 4, 5]]), colours, jnp.zeros(2), 12, 12, 0.1, 0.02)
    np.testing.assert_allclose(drawn[2, 6], [1.0, 0.0], atol=1e-3)
