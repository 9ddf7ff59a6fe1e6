"""Meshes of triangles on the screen: which triangle each pixel sees, and what is drawn of it.

A pixel belongs to a triangle if its centre lies inside, or on its top or left edge: two triangles that share an edge
cover each pixel once. Of several triangles the one with the least depth is seen, the earlier one where depths are
equal.

Hard drawing has no gradient to where the corners are, only to colours. `soft` has one to all (Liu et al. 2019).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

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
    p = sdf.pixels(height, width)
    empty = jnp.full((height, width), jnp.inf, corners.dtype), jnp.full((height, width), -1)

    def nearest(best, one):
        """The z-buffer over one triangle more: memory does not grow with their number."""
        number, triangle, depths = one
        weights, inside = barycentric(triangle, p)
        depth = jnp.where(inside, sum(w * z for w, z in zip(weights, depths, strict=True)), jnp.inf)
        nearer = depth < best[0]
        return (jnp.where(nearer, depth, best[0]), jnp.where(nearer, number, best[1])), None

    (_, face), _ = jax.lax.scan(nearest, empty, (jnp.arange(len(faces)), corners[faces, :2], corners[faces, 2]))
    weights, _ = barycentric(corners[faces[face], :2], p)
    return Seen(face, jnp.where(face[..., None] < 0, 0.0, jnp.stack(weights, -1)))


def barycentric(corners: Float[Array, "*points 3 2"], p: sdf.Points):
    """Three barycentric coordinates [...] of points in triangles, and bool [...], whether they lie in it.

    Coordinate i is the edge function of the two other corners, e(p) = (b - a) x (p - a), over that of corner i.
    """
    (x0, y0), (x1, y1), (x2, y2) = (jnp.moveaxis(corners[..., i, :], -1, 0) for i in range(3))
    x, y = p[..., 0], p[..., 1]
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    way = jnp.sign(area)  # 1 where the corners go clockwise on the screen: then inside is right of every edge
    size = jnp.where(area == 0, 1.0, jnp.abs(area))
    weights, inside = [], area != 0
    for xa, ya, xb, yb in ((x1, y1, x2, y2), (x2, y2, x0, y0), (x0, y0, x1, y1)):
        across, down = way * (xb - xa), way * (yb - ya)
        edge = way * _edge(xa, ya, xb, yb, x, y)
        inside &= (edge > 0) | ((edge == 0) & ((down < 0) | ((down == 0) & (across > 0))))  # top and left edges
        weights.append(edge / size)
    return weights, inside


def _edge(xa, ya, xb, yb, x, y):
    """(b - a) x (p - a), exactly 0 in both ends and exactly the opposite from b to a, however it is rounded.

    Else a pixel on an edge or a corner could be covered twice or not at all.
    """
    swap = (xb < xa) | ((xb == xa) & (yb < ya))
    x0, y0, x1, y1 = (jnp.where(swap, *pair) for pair in ((xb, xa), (yb, ya), (xa, xb), (ya, yb)))
    across, down = x1 - x0, y1 - y0
    later = across * (2 * x - x0 - x1) + down * (2 * y - y0 - y1) > 0  # p lies nearer to the second end
    value = across * (y - jnp.where(later, y1, y0)) - down * (x - jnp.where(later, x1, x0))
    return jnp.where(swap, -value, value)


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
    weights, _ = barycentric(corners[faces, :2][:, None, None], p)
    weights = jnp.clip(jnp.stack(weights), 0.0, 1.0)  # [3, F, H, W]
    weights = weights / jnp.maximum(weights.sum(0), 1e-6)
    depth = jnp.einsum("ifhw,fi->fhw", weights, corners[faces, 2])
    logits = jax.nn.log_sigmoid(-distance / blur) - depth / nearness
    far = jnp.full((1, height, width), -1.0 / nearness)
    share = jax.nn.softmax(jnp.concatenate([logits, far]), 0)
    return jnp.einsum("fhw,fc->hwc", share, jnp.concatenate([colours, jnp.broadcast_to(ground, (1, colours.shape[1]))]))
