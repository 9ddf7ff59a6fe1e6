"""Signed distances: shapes as functions of a point, negative inside, and what is made of them.

    a or b:  min(a, b)        a and b:  max(a, b)        a without b:  max(a, -b)

The distances of the shapes are exact. So is min outside of both; inside, and for max outside, the border may be further
away than the value says. A pixel is covered by clip(1/2 - distance, 0, 1), with the distance in pixels: exact for a
straight edge along the pixels.

Points are [..., 2], (x, y); distances have the shape [...].
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Points = Float[Array, "*points 2"]
Distances = Float[Array, "*points"]


def pixels(height: int, width: int) -> Float[Array, "height width 2"]:
    """The centres of the pixels of an image."""
    y, x = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    return jnp.stack([x, y], -1)


def circle(p: Points, radius) -> Distances:
    """The disc around the origin."""
    return length(p) - radius


def box(p: Points, half_size) -> Distances:
    """The rectangle around the origin with these half sides, (x, y) or one for both."""
    beyond = jnp.abs(p) - half_size
    return length(jnp.maximum(beyond, 0.0)) + jnp.minimum(beyond.max(-1), 0.0)


def half_plane(p: Points, normal: Float[Array, "2"]) -> Distances:
    """All points on the side of the origin that `normal`, of any length, points away from."""
    return p @ (normal / length(normal))


def segment(p: Points, a: Float[Array, "*segments 2"], b: Float[Array, "*segments 2"]) -> Distances:
    """The distance to the line from a to b, never negative. Minus a radius it is a capsule."""
    return length(p - a - along(p, a, b)[..., None] * (b - a))


def along(p: Points, a: Float[Array, "*segments 2"], b: Float[Array, "*segments 2"]) -> Distances:
    """Where on the line from a to b its point nearest to p lies: 0 at a, 1 at b."""
    square = ((b - a) ** 2).sum(-1)
    return jnp.clip(((p - a) * (b - a)).sum(-1) / jnp.where(square > 0, square, 1.0), 0.0, 1.0)


def polygon(p: Points, corners: Float[Array, "K 2"]) -> Distances:
    """The simple polygon with these corners, in either direction; inside by the even-odd rule."""
    following = jnp.roll(corners, -1, 0)
    distance = segment(p[..., None, :], corners, following).min(-1)
    (x0, y0), (x1, y1) = corners.T, following.T
    px, py = p[..., :1], p[..., 1:]
    crosses = (y0 <= py) != (y1 <= py)
    at = x0 + (py - y0) * (x1 - x0) / jnp.where(y1 == y0, 1.0, y1 - y0)
    inside = (crosses & (at > px)).sum(-1) % 2 == 1
    return jnp.where(inside, -distance, distance)


def regular(count: int, radius, inner=None) -> Float[Array, "K 2"]:
    """The corners of a regular polygon, one of them at the top, or of a star with `inner` corners between them."""
    number = count if inner is None else 2 * count
    angle = 2 * jnp.pi * jnp.arange(number) / number
    size = radius if inner is None else jnp.where(jnp.arange(number) % 2, inner, radius)
    return jnp.stack([jnp.sin(angle), -jnp.cos(angle)], -1) * jnp.asarray(size)[..., None]


def union(*distances: Distances) -> Distances:
    """All that is in one of them at least."""
    return jnp.stack(jnp.broadcast_arrays(*distances)).min(0)


def intersection(*distances: Distances) -> Distances:
    """What is in all of them."""
    return jnp.stack(jnp.broadcast_arrays(*distances)).max(0)


def difference(a: Distances, b: Distances) -> Distances:
    """What is in a and not in b."""
    return jnp.maximum(a, -b)


def smooth_union(a: Distances, b: Distances, width) -> Distances:
    """As union, rounded where the two are nearer to each other than `width`: h a + (1 - h) b - width h (1 - h)."""
    share = jnp.clip(0.5 + 0.5 * (b - a) / width, 0.0, 1.0)
    return share * a + (1.0 - share) * b - width * share * (1.0 - share)


def placed(p: Points, centre, angle=0.0) -> Points:
    """Points as a shape sees them that stands at `centre`, turned clockwise on the screen by `angle` in radians."""
    x, y = jnp.moveaxis(p - centre, -1, 0)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cos * x + sin * y, cos * y - sin * x], -1)


def coverage(distance: Distances, softness=1.0) -> Distances:
    """How much of each pixel a shape covers, in [0, 1]: clip(1/2 - distance / softness, 0, 1).

    A softness of more than one pixel blurs the edge, so that more pixels hear of its gradient.
    """
    return jnp.clip(0.5 - distance / softness, 0.0, 1.0)


def over(image: Float[Array, "H W C"], colour: Float[Array, "*C"], cover: Float[Array, "H W"]) -> Float[Array, "H W C"]:
    """The image with a shape of that colour, or of a colour a pixel, painted over it."""
    return image + cover[..., None] * (colour - image)


def length(v: Float[Array, "*v D"]) -> Float[Array, "*v"]:
    """|v|, with the gradient 0 at 0."""
    square = (v**2).sum(-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
