"""Solids: meshes in three dimensions, a camera, and light.

A point P of the world is seen at

    (x, y) = (W / 2 + f X / w,  H / 2 - f Y / w),   w = distance of P along the view,   f = H / (2 tan(angle / 2))

with X to the right and Y up in the camera's frame. 1 / w is linear on the screen, so -1 / w is the depth that tells
what hides what. A face of unit normal n, lit from direction l, has its colour times ambient + (1 - ambient) max(0, n.l)
(Lambert). Faces go round counterclockwise as they are seen from outside.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gen_jax.render import triangles
from gen_jax.render.sdf import length

NEAR = 1e-3  # a triangle with a corner nearer to the eye's plane than that, or behind it, is not drawn


class Mesh(NamedTuple):
    """Corners float [V, 3], and faces int [F, 3] by their numbers."""

    corners: Float[Array, "V 3"]
    faces: Int[Array, "F 3"]


class Camera(NamedTuple):
    """Where the eye is, what it looks at, what is up, and the angle of view from the lower to the upper edge."""

    eye: Float[Array, "3"]
    target: Float[Array, "3"] = np.zeros(3)
    up: Float[Array, "3"] = np.array([0.0, 1.0, 0.0])
    angle: float = np.pi / 4


def cube() -> Mesh:
    """From -1 to 1 along every axis; 12 faces."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    squares = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Mesh(corners, np.array([face for a, b, c, d in squares for face in ((a, b, c), (a, c, d))]))


def turned(profile: np.ndarray, sectors: int) -> Mesh:
    """The solid that a line makes which turns around the y axis.

    Args:
      profile: [K, 2], (radius, y) from the top down; where the radius is 0 at an end, the solid closes in a point.
    """
    rings = []
    for radius, y in profile:
        angle = 2 * np.pi * np.arange(1 if radius == 0 else sectors) / sectors
        rings.append(np.stack([radius * np.cos(angle), np.full_like(angle, y), radius * np.sin(angle)], 1))
    first = np.cumsum([0, *map(len, rings)])
    faces = []
    for above, below, start, after in zip(rings, rings[1:], first, first[1:], strict=False):
        for i in range(sectors):
            a, b = (start + n % len(above) for n in (i, i + 1))
            c, d = (after + n % len(below) for n in (i, i + 1))
            faces += [(a, b, d)] * (len(above) > 1) + [(a, d, c)] * (len(below) > 1)
    return Mesh(np.concatenate(rings).astype(np.float32), np.array(faces))


def sphere(rings: int = 8, sectors: int = 12) -> Mesh:
    """Points of the unit sphere; its faces lie a little inside."""
    angle = np.pi * np.arange(rings + 1) / rings
    radius = np.sin(angle)
    radius[[0, -1]] = 0.0
    return turned(np.stack([radius, np.cos(angle)], 1), sectors)


def cylinder(sectors: int = 16) -> Mesh:
    """Of radius 1, from y = -1 to 1, with lids."""
    return turned(np.array([(0, 1), (1, 1), (1, -1), (0, -1)]), sectors)


def cone(sectors: int = 16) -> Mesh:
    """Of radius 1 at y = -1, its tip at y = 1, with a lid; 4 sectors make a pyramid."""
    return turned(np.array([(0, 1), (1, -1), (0, -1)]), sectors)


def rotation(axis: Float[Array, "3"], angle) -> Float[Array, "3 3"]:
    """The matrix that turns columns around an axis, counterclockwise seen from its tip (Rodrigues)."""
    x, y, z = axis / length(jnp.asarray(axis, float))
    cross = jnp.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return jnp.eye(3) + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) * cross @ cross


def joined(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    first = np.cumsum([0, *(len(mesh.corners) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, first, strict=False)]
    return Mesh(jnp.concatenate([mesh.corners for mesh in meshes]), np.concatenate(faces))


def projected(points: Float[Array, "V 3"], camera: Camera, height: int, width: int):
    """Where points are seen, [V, 2] in pixels, and their distances along the view w [V], negative behind the eye."""
    unit = lambda v: v / length(v)
    ahead = unit(jnp.asarray(camera.target - camera.eye, float))
    right = unit(jnp.cross(ahead, camera.up))
    axes = jnp.stack([right, jnp.cross(right, ahead), ahead])
    x, y, w = (axes @ (points - camera.eye).T).astype(jnp.result_type(points, float))
    scale = height / (2 * jnp.tan(camera.angle / 2)) / jnp.where(jnp.abs(w) < NEAR, NEAR, w)
    return jnp.stack([width / 2 + scale * x, height / 2 - scale * y], 1), w


def looked_at(mesh: Mesh, camera: Camera, height: int, width: int):
    """What each pixel sees of a mesh (`triangles.Seen`), and the w of its corners, for `triangles.interpolated`."""
    screen, w = projected(mesh.corners, camera, height, width)
    whole = (w[mesh.faces] >= NEAR).all(-1, keepdims=True)
    faces = jnp.where(whole, mesh.faces, 0)  # three times one corner: a triangle without area
    depth = -1.0 / jnp.where(jnp.abs(w) < NEAR, NEAR, w)
    return triangles.visible(jnp.concatenate([screen, depth[:, None]], 1), faces, height, width), w


def normals(mesh: Mesh) -> Float[Array, "F 3"]:
    """Unit normals of the faces, outwards; 0 of a face without area."""
    a, b, c = (mesh.corners[mesh.faces[:, i]] for i in range(3))
    across = jnp.cross(b - a, c - a)
    size = length(across)[:, None]
    return across / jnp.where(size > 0, size, 1.0)


def lit(mesh: Mesh, colours: Float[Array, "F C"], light: Float[Array, "3"], ambient: float) -> Float[Array, "F C"]:
    """The colours of the faces in the light that comes from direction `light`."""
    light = jnp.asarray(light, float)
    shade = jnp.maximum(normals(mesh) @ (light / length(light)), 0.0)
    return colours * (ambient + (1.0 - ambient) * shade[:, None])


def drawn(
    mesh: Mesh,
    colours: Float[Array, "F C"],
    camera: Camera,
    ground: Float[Array, "*C"],
    height: int,
    width: int,
    light: Float[Array, "3"] = (1.0, 2.0, 1.5),
    ambient: float = 0.3,
    fine: int = 2,
) -> Float[Array, "H W C"]:
    """A picture of a mesh, one colour a face, each pixel the mean of fine x fine."""
    height, width = fine * height, fine * width
    seen, _ = looked_at(mesh, camera, height, width)
    shaded = lit(mesh, colours, light, ambient)
    picture = jnp.where(seen.face[..., None] < 0, jnp.asarray(ground), shaded[seen.face])
    return picture.reshape(height // fine, fine, width // fine, fine, -1).mean((1, 3))
