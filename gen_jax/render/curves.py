"""Strokes: curves through points, and how far a pixel lies from one.

    bezier        B(t) = sum_i binom(n, i) (1 - t)^(n - i) t^i P_i, from the first point to the last
    b_spline      uniform and cubic: smooth to the second derivative, near its points
    catmull_rom   cubic through every point, with the tangent (P_{i+1} - P_{i-1}) / 2 there (Catmull & Rom 1974)

A curve is drawn as a line of straight segments: `stroke` is the distance to it, minus a radius.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gen_jax.render import sdf

# Rows: powers of t from 0 to 3; columns: the four points that a piece depends on.
B_SPLINE = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6
CATMULL_ROM = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2


def bezier(points: Float[Array, "K D"], steps: int) -> Float[Array, "steps+1 D"]:
    """The curve of degree K - 1 at steps + 1 equally spaced values of t, by de Casteljau's halving of the way."""
    t = jnp.linspace(0.0, 1.0, steps + 1)[:, None, None]
    left = jnp.broadcast_to(points, (steps + 1, *points.shape))
    while left.shape[1] > 1:
        left = left[:, :-1] + t * (left[:, 1:] - left[:, :-1])
    return left[:, 0]


def b_spline(points: Float[Array, "K D"], steps: int) -> Float[Array, "(K-3)*steps+1 D"]:
    """The uniform cubic B-spline of K >= 4 points, in K - 3 pieces of `steps` segments."""
    return _pieces(points, B_SPLINE, steps)


def catmull_rom(points: Float[Array, "K D"], steps: int) -> Float[Array, "(K-1)*steps+1 D"]:
    """The curve through K >= 2 points, in K - 1 pieces; beyond its ends the first and the last step are repeated."""
    before, after = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    return _pieces(jnp.concatenate([before[None], points, after[None]]), CATMULL_ROM, steps)


def _pieces(points, basis, steps):
    t = jnp.arange(steps) / steps
    powers = t[:, None] ** jnp.arange(4)
    four = jnp.stack([points[i : len(points) - 3 + i] for i in range(4)], 1)  # [pieces, 4, D]
    line = jnp.einsum("tp,pk,nkd->ntd", powers, basis, four).reshape(-1, points.shape[1])
    return jnp.concatenate([line, (basis.sum(0) @ four[-1])[None]])


def stroke(p: sdf.Points, line: Float[Array, "N D"], radius) -> sdf.Distances:
    """The signed distance to a line of N - 1 segments with round ends.

    Args:
      radius: one number, or one for each of the N points, between which it changes evenly. Then the value is that
        distance where the radius is constant, and near it where it is not.
    """
    a, b = line[:-1], line[1:]
    distance = sdf.segment(p[..., None, :], a, b)
    radius = jnp.broadcast_to(jnp.asarray(radius, distance.dtype), line.shape[:1])
    share = sdf.along(p[..., None, :], a, b)
    return (distance - radius[:-1] - share * (radius[1:] - radius[:-1])).min(-1)
