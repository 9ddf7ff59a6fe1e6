"""Signed distances and coverage against closed forms, and gradients against areas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.render import sdf

SQUARE = jnp.array([(-2.0, -1.0), (2.0, -1.0), (2.0, 1.0), (-2.0, 1.0)])
SHAPES = {
    "circle": lambda p: sdf.circle(p, 2.5),
    "box": lambda p: sdf.box(p, jnp.array([2.0, 1.0])),
    "polygon": lambda p: sdf.polygon(p, SQUARE),
    "star": lambda p: sdf.polygon(p, sdf.regular(5, 3.0, 1.2)),
    "capsule": lambda p: sdf.segment(p, jnp.array([-1.0, 0.5]), jnp.array([2.0, 1.0])) - 0.7,
    "half plane": lambda p: sdf.half_plane(p, jnp.array([1.0, 2.0])),
}
SCATTERED = jnp.array(np.random.default_rng(0).uniform(-6, 6, (500, 2)))


def area(distance, size=32):
    return sdf.coverage(distance(sdf.pixels(size, size) - size / 2)).sum()


@pytest.mark.parametrize("name", SHAPES)
def test_a_distance_has_a_gradient_of_length_one(name):
    gradient = jax.vmap(jax.grad(SHAPES[name]))(SCATTERED)
    np.testing.assert_allclose(sdf.length(gradient), 1.0, atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_a_distance_leads_to_the_border(name):
    """p - d grad d lies on the shape's border, from inside and from outside."""
    d, gradient = jax.vmap(jax.value_and_grad(SHAPES[name]))(SCATTERED)
    assert (d > 0).any() and (d < 0).any()
    np.testing.assert_allclose(SHAPES[name](SCATTERED - d[:, None] * gradient), 0.0, atol=1e-4)


def test_a_box_is_its_polygon():
    np.testing.assert_allclose(SHAPES["box"](SCATTERED), SHAPES["polygon"](SCATTERED), atol=1e-5)
    np.testing.assert_allclose(SHAPES["polygon"](SCATTERED), sdf.polygon(SCATTERED, SQUARE[::-1]), atol=1e-5)


@pytest.mark.parametrize("place", [0.0, 0.3, 7.75])
def test_a_straight_edge_covers_exactly_what_it_cuts_off(place):
    cover = sdf.coverage(sdf.half_plane(sdf.pixels(1, 16) - jnp.array([place, 0.0]), jnp.array([1.0, 0.0])))
    np.testing.assert_allclose(cover[0], np.clip(place - np.arange(16), 0, 1), atol=1e-6)


@pytest.mark.parametrize("radius", [4.0, 7.3, 10.0])
def test_a_disc_covers_its_area_within_one_percent(radius):
    assert float(area(lambda p: sdf.circle(p, radius))) == pytest.approx(np.pi * radius**2, rel=0.01)
    # No pixel is further from the share that 64 x 64 points in it see than 0.05.
    cover = sdf.coverage(sdf.circle(sdf.pixels(24, 24) - 12, radius))
    fine = (sdf.circle(sdf.pixels(24 * 64, 24 * 64) / 64 - 12, radius) < 0).reshape(24, 64, 24, 64).mean((1, 3))
    assert float(jnp.abs(cover - fine).max()) < 0.05


def test_the_area_of_a_disc_grows_by_its_circumference_and_stands_still_when_it_moves():
    """In the mean over where its centre lies in a pixel, and by finite differences anywhere."""
    drawn = lambda radius, centre: sdf.coverage(sdf.circle(sdf.pixels(32, 32) - centre, radius)).sum()
    centres = 15 + jnp.stack(jnp.meshgrid(*[jnp.arange(16) / 16] * 2), -1).reshape(-1, 2)
    by_radius, by_centre = jax.vmap(jax.grad(drawn, (0, 1)), (None, 0))(7.3, centres)
    assert float(by_radius.mean()) == pytest.approx(2 * np.pi * 7.3, rel=0.01)
    np.testing.assert_allclose(by_centre.mean(0), 0.0, atol=0.05)
    with jax.enable_x64(True):
        centre, h = jnp.array([15.7, 16.2], jnp.float64), 1e-6
        by_radius, by_centre = jax.grad(drawn, (0, 1))(jnp.float64(7.3), centre)
        of_radius = (drawn(7.3 + h, centre) - drawn(7.3 - h, centre)) / (2 * h)
        of_x = (drawn(7.3, centre.at[0].add(h)) - drawn(7.3, centre.at[0].add(-h))) / (2 * h)
        np.testing.assert_allclose([by_radius, by_centre[0]], [of_radius, of_x], atol=1e-5)


def test_compositions():
    a, b = sdf.circle(SCATTERED, 3.0), sdf.box(SCATTERED - 1.0, 2.0)
    np.testing.assert_array_equal(sdf.union(a, b) < 0, (a < 0) | (b < 0))
    np.testing.assert_array_equal(sdf.intersection(a, b) < 0, (a < 0) & (b < 0))
    np.testing.assert_array_equal(sdf.difference(a, b) < 0, (a < 0) & ~(b <= 0))
    smooth = sdf.smooth_union(a, b, 0.5)
    assert (smooth <= sdf.union(a, b) + 1e-6).all() and (smooth >= sdf.union(a, b) - 0.125 - 1e-6).all()
    apart = jnp.abs(a - b) > 0.5
    np.testing.assert_allclose(smooth[apart], sdf.union(a, b)[apart], atol=1e-6)


def test_a_quarter_turn_of_a_shape_is_one_of_its_picture():
    shape = lambda angle: sdf.coverage(
        sdf.polygon(
            sdf.placed(sdf.pixels(16, 16), jnp.array([8.0, 8.0]), angle), jnp.array([(-3, -5), (4, 0), (-3, 5)])
        )
    )
    np.testing.assert_allclose(shape(jnp.pi / 2), np.rot90(shape(0.0), -1), atol=1e-5)  # clockwise


def test_a_painted_pixel_is_a_mixture():
    image = sdf.over(jnp.zeros((1, 3, 2)), jnp.array([1.0, 0.5]), jnp.array([[0.0, 0.25, 1.0]]))
    np.testing.assert_allclose(image[0], [[0, 0], [0.25, 0.125], [1, 0.5]])
