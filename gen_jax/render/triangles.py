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

BLOCK = 32  # triangles at once


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
    blocks = -(-len(faces) // BLOCK)
    padded = jnp.zeros((blocks * BLOCK, 3), faces.dtype).at[: len(faces)].set(faces)  # of zeros: without area
    empty = jnp.full((height, width), jnp.inf, corners.dtype), jnp.full((height, width), -1)

    def nearest(best, block):
        """The z-buffer over one block of triangles more: memory does not grow with their number."""
        number, some = block
        weights, inside = covered(corners[:, :2], some, p)
        depth = jnp.where(inside, (weights * corners[some, 2]).sum(-1), jnp.inf)
        nearer = depth.min(-1) < best[0]
        return (jnp.where(nearer, depth.min(-1), best[0]), jnp.where(nearer, number + depth.argmin(-1), best[1])), None

    (_, face), _ = jax.lax.scan(nearest, empty, (BLOCK * jnp.arange(blocks), padded.reshape(blocks, BLOCK, 3)))
    weights = barycentric(corners[faces[face], :2], p)[0]
    return Seen(face, jnp.where(face[..., None] < 0, 0.0, weights))


def covered(corners: Float[Array, "V 2"], faces: Int[Array, "F 3"], p: sdf.Points):
    """Barycentric coordinates [..., F, 3] of points in every triangle, and bool [..., F], whether they lie in it."""
    return barycentric(corners[faces], p[..., None, :])


def barycentric(corners: Float[Array, "*points 3 2"], p: sdf.Points):
    """Barycentric coordinates [..., 3] of points in triangles, and bool [...], whether they lie in it."""
    one, other = corners[..., (1, 2, 0), :], corners[..., (2, 0, 1), :]  # the ends of the edge that lies opposite
    area = _cross(one[..., 0, :] - corners[..., 0, :], other[..., 0, :] - corners[..., 0, :])
    # Clockwise on the screen, inside is right of every edge.
    turned = (area < 0)[..., None, None]
    first = jnp.where(turned, other, one)
    edge = jnp.where(turned, one - other, other - one)
    values = _cross(edge, p[..., None, :] - first)
    top_left = (edge[..., 1] < 0) | ((edge[..., 1] == 0) & (edge[..., 0] > 0))
    inside = ((values > 0) | ((values == 0) & top_left)).all(-1) & (area != 0)
    size = values.sum(-1, keepdims=True)
    return values / jnp.where(size > 0, size, 1.0), inside


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
    weights, _ = covered(corners[:, :2], faces, p)
    weights = jnp.clip(weights, 0.0, 1.0)
    weights = weights / jnp.maximum(weights.sum(-1, keepdims=True), 1e-6)
    depth = jnp.moveaxis((weights * corners[faces, 2]).sum(-1), -1, 0)
    logits = jax.nn.log_sigmoid(-distance / blur) - depth / nearness
    far = jnp.full((1, height, width), -1.0 / nearness)
    share = jax.nn.softmax(jnp.concatenate([logits, far]), 0)
    return jnp.einsum("fhw,fc->hwc", share, jnp.concatenate([colours, jnp.broadcast_to(ground, (1, colours.shape[1]))]))


def _cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
