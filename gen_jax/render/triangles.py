"""Meshes of triangles on the screen: which triangle each pixel sees, and what is drawn of it.

A pixel belongs to a triangle if its centre lies inside, or on its top or left edge: two triangles that share an edge
cover each pixel once. Of several triangles the one with the least depth is seen, the earlier one where depths are
equal.

Hard drawing has no gradient to where the corners are, only to colours. `soft` has one to all (Liu et al. 2019).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gen_jax.render import sdf


class Seen(NamedTuple):
    """What each pixel sees of a mesh.

    Attributes:
      face: the number of the triangle; -1 for none.
      weights: barycentric coordinates of the pixel's centre in it, which add up to 1; 0 where there is none.
    """

    face: Int[Array, "H W"]
    weights: Float[Array, "H W 3"]


def visible(corners: Float[Array, "V 3"], faces: Int[Array, "F 3"], height: int, width: int) -> Seen:
    """Which triangle each pixel sees, by the z-buffer.

    Args:
      corners: x, y in pixels and depth, smaller nearer; depths lie on a plane over the screen.
      faces: numbers of three corners each, in either direction. A triangle without area is never seen.
    """
    p, sides = sdf.pixels(height, width), edges(corners[faces, :2])
    empty = jnp.full((height, width), jnp.inf, corners.dtype), jnp.full((height, width), -1)

    def nearest(best, one):
        """The z-buffer over one triangle more: memory does not grow with their number."""
        number, sides, depths = one
        weights, inside = barycentric(sides, p)
        depth = jnp.where(inside, sum(w * z for w, z in zip(weights, depths, strict=True)), jnp.inf)
        nearer = depth < best[0]
        return (jnp.where(nearer, depth, best[0]), jnp.where(nearer, number, best[1])), None

    (_, face), _ = jax.lax.scan(nearest, empty, (jnp.arange(len(faces)), sides, corners[faces, 2]))
    weights, _ = barycentric(jax.tree.map(lambda x: x[face], sides), p)
    return Seen(face, jnp.where(face[..., None] < 0, 0.0, jnp.stack(weights, -1)))


class Edges(NamedTuple):
    """The three edges of triangles, each opposite the corner of its number, from its leftmost end to the other.

    The direction is that of the screen and not of the triangle, so that two triangles round their edge alike: else a
    pixel on it could be covered twice or not at all.
    """

    start: Float[Array, "*F 3 2"]
    end: Float[Array, "*F 3 2"]
    way: Float[Array, "*F 3"]  # 1 / (twice the area), negative where the triangle lies left of it; 0 without an area
    closed: Bool[Array, "*F 3"]  # whether a point on it belongs to the triangle: of top and left edges


def edges(corners: Float[Array, "*F 3 2"]) -> Edges:
    """The Edges of triangles."""
    a, b = corners[..., (1, 2, 0), :], corners[..., (2, 0, 1), :]
    first, second = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    area = (first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])[..., None]
    across, down = jnp.moveaxis((b - a) * jnp.sign(area)[..., None], -1, 0)  # round the triangle clockwise
    closed = (down < 0) | ((down == 0) & (across > 0))
    swap = (b[..., 0] < a[..., 0]) | ((b[..., 0] == a[..., 0]) & (b[..., 1] < a[..., 1]))
    way = jnp.where(swap, -1.0, 1.0) / jnp.where(area == 0, jnp.inf, area)
    start, end = (jnp.where(swap[..., None], *pair) for pair in ((b, a), (a, b)))
    return Edges(start, end, way, closed & (area != 0))


def barycentric(sides: Edges, p: sdf.Points):
    """Three barycentric coordinates [...] of points in triangles, and bool [...], whether they lie in it.

    Coordinate i is the edge function (b - a) x (p - a) of edge i over that of corner i. It is taken from the end that
    is nearer to p, and so exactly 0 in both.
    """
    x, y = p[..., 0], p[..., 1]
    weights, inside = [], True
    for i in range(3):
        (x0, y0), (x1, y1) = (jnp.moveaxis(end[..., i, :], -1, 0) for end in (sides.start, sides.end))
        across, down = x1 - x0, y1 - y0
        later = across * x + down * y > 0.5 * (across * (x0 + x1) + down * (y0 + y1))
        value = across * (y - jnp.where(later, y1, y0)) - down * (x - jnp.where(later, x1, x0))
        weights.append(value * sides.way[..., i])
        inside &= (weights[i] > 0) | ((weights[i] == 0) & sides.closed[..., i])
    return weights, inside


def interpolated(
    seen: Seen, faces: Int[Array, "F 3"], values: Float[Array, "V C"], w: Float[Array, " V"] | None = None
) -> Float[Array, "H W C"]:
    """What the corners have, at each pixel; 0 where no triangle is seen.

    Args:
      w: the corners' distances along the view, for perspective: sum_i b_i v_i / w_i over sum_i b_i / w_i. None: linear
        on the screen.
    """
    corners = faces[seen.face]
    weights = seen.weights if w is None else seen.weights / w[corners]
    total = weights.sum(-1, keepdims=True)
    weights = weights / jnp.where(total > 0, total, 1.0)
    return (weights[..., None] * values[corners]).sum(-2)


def soft(
    corners: Float[Array, "V 3"],
    faces: Int[Array, "F 3"],
    colours: Float[Array, "F C"],
    ground: Float[Array, "*C"],
    height: int,
    width: int,
    blur: float = 1.0,
    nearness: float = 0.1,
) -> Float[Array, "H W C"]:
    """A picture with gradients to corners, depths and colours, one colour a triangle (Liu et al. 2019, eq. 1 to 3).

    colour = sum_f w_f c_f + w_0 ground,   w_f ~ sigmoid(-d_f / blur) exp(-z_f / nearness),   w_0 ~ exp(-1 / nearness)

    with d_f the signed distance to triangle f in pixels, where the paper squares it. As blur and nearness go to 0 it
    becomes the hard picture. Depths are to lie in [0, 1].

    Args:
      blur: in pixels; larger ones give gradients from further away, and softer edges.
      nearness: how much nearer a triangle must be to hide another.
    """
    p = sdf.pixels(height, width)
    distance = jax.vmap(lambda triangle: sdf.polygon(p, triangle))(corners[faces, :2])  # [F, H, W]
    weights, _ = barycentric(jax.tree.map(lambda x: x[:, None, None], edges(corners[faces, :2])), p)
    weights = jnp.clip(jnp.stack(weights), 0.0, 1.0)  # [3, F, H, W]
    weights = weights / jnp.maximum(weights.sum(0), 1e-6)
    depth = jnp.einsum("ifhw,fi->fhw", weights, corners[faces, 2])
    logits = jax.nn.log_sigmoid(-distance / blur) - depth / nearness
    far = jnp.full((1, height, width), -1.0 / nearness)
    share = jax.nn.softmax(jnp.concatenate([logits, far]), 0)
    return jnp.einsum("fhw,fc->hwc", share, jnp.concatenate([colours, jnp.broadcast_to(ground, (1, colours.shape[1]))]))
