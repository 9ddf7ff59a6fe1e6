"""Pictures by rule: nothing is learned, everything is drawn by lot (the floor under models of simple pictures).

    z ~ N(0, 1),   u = Phi(z), uniform in (0, 1),   image = render(u)

    shapes     flat discs, squares, triangles, crosses and stars over each other
    strokes    white lines of a pen that runs through random points, on black
    solids     spheres, cylinders, cones, cubes and pyramids on a floor, in perspective and in light

Each number of a scene, such as where an object stands, how large it is and what colour it has, is one entry of z. So
scenes can be interpolated like the latents of a model: things move, turn and grow, and pass from one kind to the next.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gen_jax import randomness
from gen_jax.data.dataset import Spec
from gen_jax.field import Field
from gen_jax.method import Method, born
from gen_jax.render import curves, sdf, solids

GROUND = 0.125
TURNS = 4  # of a stroke
EYE, AIM = 1.4, 0.5  # heights of the eye and of what it looks at
VIEW = 0.62  # angle of view
UP = np.array([0.0, 1.0, 0.0])
FINE = 2  # a pixel of a solid is the mean of so many squared
SECTORS = 12  # corners around a solid
LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue are (BT.601)


def make(config, spec: Spec) -> Method:
    """The rule of a config."""
    return rules(config.model.kind, spec.shape, config.model.objects)


def rules(kind: str, shape: tuple[int, int, int], objects: int) -> Method:
    """The rule `kind`, one of KINDS, for pictures of this shape with at most so many objects or strokes."""
    render, common, each = KINDS[kind]

    def init(key, example, resources):
        return born({})

    def latents(variables, keys):
        return randomness.normal(keys, (common + objects * each,))

    def decode(variables, z, condition):
        def one(z):
            u = jax.scipy.special.ndtr(z)
            return grey(jnp.clip(render(u[:common], u[common:].reshape(objects, each), shape), 0.0, 1.0), shape[2])

        return jax.vmap(one)(z)

    def sample(variables, keys, condition, temperature):
        return decode(variables, latents(variables, keys) * temperature, condition)

    return Method(init=init, sample=sample, latents=latents, decode=decode)


def shapes(common: Float[Array, "0"], each: Float[Array, "K 7"], shape) -> Float[Array, "H W 3"]:
    """Flat shapes, the later ones over the earlier ones; the first is always there, each other one in half of all."""
    p, unit = sdf.pixels(*shape[:2]), min(shape[:2])
    image = jnp.full((*shape[:2], 3), GROUND)
    for number, (there, x, y, size, angle, hue, kind) in enumerate(each):
        radius = unit * (0.11 + 0.12 * size)
        centre = radius + jnp.stack([x * (shape[1] - 2 * radius), y * (shape[0] - 2 * radius)])
        q = sdf.placed(p, centre, 2 * jnp.pi * angle)
        distances = [
            sdf.circle(q, radius),
            sdf.box(q, 0.85 * radius),
            sdf.polygon(q, sdf.regular(3, 1.15 * radius)),
            sdf.union(sdf.box(q, radius * np.array([1.0, 0.35])), sdf.box(q, radius * np.array([0.35, 1.0]))),
            sdf.polygon(q, sdf.regular(5, 1.1 * radius, 0.5 * radius)),
        ]
        cover = sdf.coverage(passing(jnp.stack(distances), kind))
        image = sdf.over(image, colour(hue), cover * (1.0 if number == 0 else present(there)))
    return image


def strokes(common: Float[Array, "0"], each: Float[Array, "S 11"], shape) -> Float[Array, "H W 3"]:
    """White lines on black, as wide as those of handwritten digits, that turn mostly one way, as a hand does."""
    p, unit = sdf.pixels(*shape[:2]), min(shape[:2])
    image = jnp.zeros((*shape[:2], 3))
    for number, (there, wide, x, y, long, heading, bend, *turns) in enumerate(each):
        angle = 2 * jnp.pi * heading + jnp.cumsum(3.0 * (bend - 0.5) + 1.2 * (jnp.stack(turns) - 0.5))
        steps = jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1)
        points = jnp.concatenate([jnp.zeros((1, 2)), jnp.cumsum(steps, 0)])
        least, most = points.min(0), points.max(0)
        scale = unit * (0.55 + 0.35 * long) / (most - least).max()
        centre = np.array(shape[1::-1]) / 2 + unit * 0.15 * (jnp.stack([x, y]) - 0.5)
        line = centre + scale * (curves.catmull_rom(points, steps=6) - (least + most) / 2)
        cover = sdf.coverage(curves.stroke(p, line, unit * (0.04 + 0.03 * wide)), softness=1.5)
        image = sdf.over(image, 1.0, cover * (1.0 if number == 0 else present(there)))
    return image


def on_floor(common: Float[Array, "3"], each: Float[Array, "K 7"], shape) -> Float[Array, "H W 3"]:
    """Solids on a floor under a sky. They may stand in each other."""
    around, side, high = common
    meshes, colours = [], []
    for number, (there, x, z, size, turn, hue, kind) in enumerate(each):
        scale = (0.35 + 0.3 * size) * (1.0 if number == 0 else present(there))
        mesh = solid(kind)
        corners = scale * mesh.corners @ solids.rotation(UP, 2 * jnp.pi * turn).T
        meshes.append(solids.Mesh(corners + jnp.stack([2.4 * x - 1.2, scale, 2.4 * z - 1.2]), mesh.faces))
        colours.append(jnp.broadcast_to(colour(hue), (len(mesh.faces), 3)))
    angle = jnp.pi / 3 * (around - 0.5)
    eye = jnp.stack([5.0 * jnp.sin(angle), EYE, 5.0 * jnp.cos(angle)])
    light = jnp.stack([3.0 * (side - 0.5), 1.2 + high, 1.0])
    # The horizon is where a ray neither rises nor falls: that much above the middle of the picture.
    above = (EYE - AIM) / 5.0 / (2 * np.tan(VIEW / 2))
    rows = FINE * shape[0]
    sky = np.arange(rows)[:, None, None] + 0.5 < rows * (0.5 - above)
    ground = np.where(sky, (0.45, 0.6, 0.8), (0.62, 0.6, 0.56))
    camera = solids.Camera(eye, np.array([0.0, AIM, 0.0]), UP, VIEW)
    scene, paint = solids.joined(meshes), jnp.concatenate(colours)
    return solids.drawn(scene, paint, camera, ground, *shape[:2], light, fine=FINE)


# Kind -> how it is drawn, how many numbers a scene has for all its objects, and how many for each.
KINDS: dict[str, tuple[Callable, int, int]] = {
    "shapes": (shapes, 0, 7),
    "strokes": (strokes, 0, 7 + TURNS),
    "solids": (on_floor, 3, 7),
}
FIELDS = {
    "model.kind": Field("shapes", "what is drawn", choices=tuple(KINDS)),
    "model.objects": Field(3, "objects or strokes of a picture, at most", least=1, most=16),
}


def present(u) -> Float[Array, ""]:
    """1 in half of all scenes and 0 in the other half, and little in between."""
    return jnp.clip(0.5 + 20.0 * (u - 0.5), 0.0, 1.0)


def passing(kinds: Float[Array, "5 *any"], u) -> Float[Array, "*any"]:
    """One of K things by a uniform number: itself in four fifths of all cases, else on the way to the next."""
    place = u * len(kinds)
    first = jnp.clip(jnp.floor(place).astype(int), 0, len(kinds) - 1)
    share = jnp.clip(5.0 * (place - first) - 4.0, 0.0, 1.0)
    return kinds[first] + share * (kinds[(first + 1) % len(kinds)] - kinds[first])


def colour(hue) -> Float[Array, "3"]:
    """A bright colour of this hue in [0, 1): HSV with saturation 0.75 and value 0.95."""
    ramp = jnp.abs((hue + np.array([0.0, 2.0, 1.0]) / 3) % 1.0 * 6.0 - 3.0) - 1.0
    return 0.95 * (0.25 + 0.75 * jnp.clip(ramp, 0.0, 1.0))


def grey(image: Float[Array, "H W 3"], channels: int) -> Float[Array, "H W C"]:
    """The image in this many channels: as it is, or how bright it is."""
    return image if channels == 3 else image @ np.array(LUMA, np.float32)[:, None]


def solid(kind) -> solids.Mesh:
    """A solid of half height 1 by a uniform number; all kinds have the same faces, so one can become another.

    Each is a line that turns around the y axis, (radius, y) from the top down, and a section: 0 a circle, 1 a square.
    """
    angle = np.pi * np.arange(7) / 6
    box = np.array([(0, 1), (1, 1), (1, 0.5), (1, 0), (1, -0.5), (1, -1), (0, -1)])
    tip = np.array([(0, 1), (0.25, 0.5), (0.5, 0), (0.75, -0.5), (1, -1), (0.5, -1), (0, -1)])
    ball = np.stack([np.sin(angle), np.cos(angle)], 1)
    lines = np.stack([ball, box * (0.85, 1), tip, 0.8 * box - (0, 0.2), tip * (0.8, 1)])  # all stand at y = -1
    line, square = passing(jnp.array(lines), kind), passing(jnp.array([0.0, 0, 0, 1, 1]), kind)
    around = 2 * np.pi * (np.arange(SECTORS) + 0.5) / SECTORS  # with corners on the diagonals
    section = 1.0 + square * (1.0 / np.maximum(np.abs(np.cos(around)), np.abs(np.sin(around))) - 1.0)
    x, z = (line[:, :1] * section * f(around) for f in (np.cos, np.sin))
    corners = jnp.stack([x, jnp.broadcast_to(line[:, 1:], x.shape), z], -1)
    return solids.Mesh(corners.reshape(-1, 3), _rings(len(line)))


def _rings(count: int) -> np.ndarray:
    """The faces between so many rings of SECTORS corners each, from the top down, seen from outside."""
    at = np.arange(count * SECTORS).reshape(count, SECTORS)
    a, c = at[:-1], at[1:]
    b, d = np.roll(a, -1, 1), np.roll(c, -1, 1)
    return np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)]).reshape(-1, 3)
