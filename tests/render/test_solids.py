"""Solids seen by a camera, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.render import solids, triangles

CAMERA = solids.Camera(eye=jnp.array([0.0, 0.0, 6.0]), target=jnp.zeros(3), up=jnp.array([0.0, 1.0, 0.0]), angle=0.8)
MESHES = {
    "cube": (solids.cube(), 8.0, 24.0),
    "sphere": (solids.sphere(48, 64), 4 / 3 * np.pi, 4 * np.pi),
    "cylinder": (solids.cylinder(128), 2 * np.pi, 6 * np.pi),
    "cone": (solids.cone(128), 2 / 3 * np.pi, np.pi * (1 + 5**0.5)),
}


@pytest.mark.parametrize("name", MESHES)
def test_meshes_are_closed_and_look_outwards(name):
    """By the divergence theorem a closed mesh that looks outwards has its volume; each edge is there both ways."""
    mesh, volume, area = MESHES[name]
    a, b, c = (mesh.corners[mesh.faces[:, i]].astype(np.float64) for i in range(3))
    assert float((np.cross(a, b) * c).sum() / 6) == pytest.approx(volume, rel=0.01)
    assert float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2) == pytest.approx(area, rel=0.01)
    edges = {(i, j) for face in mesh.faces.tolist() for i, j in zip(face, face[1:] + face[:1], strict=True)}
    assert len(edges) == 3 * len(mesh.faces) and edges == {(j, i) for i, j in edges}


def test_a_point_is_seen_where_its_ray_meets_the_screen():
    screen, w = solids.projected(jnp.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3], [0, 0, 8]]), CAMERA, 40, 60)
    f = 20 / np.tan(0.4)
    np.testing.assert_allclose(w, [6, 6, 6, 3, -2], atol=1e-5)
    np.testing.assert_allclose(screen[:4], [(30, 20), (30 + f / 6, 20), (30, 20 - f / 6), (30, 20)], atol=1e-4)


def test_attributes_are_right_in_perspective_and_wrong_without():
    """A floor that runs away from the eye: its own coordinates at each pixel, beside the ray's meeting with it."""
    corners = jnp.array([(-2.0, -1.0, 2.0), (2.0, -1.0, 2.0), (2.0, -1.0, -6.0), (-2.0, -1.0, -6.0)])
    mesh = solids.Mesh(corners, jnp.array([[0, 1, 2], [0, 2, 3]]))
    seen, w = solids.looked_at(mesh, CAMERA, 32, 32)
    there = np.asarray(seen.face >= 0)
    assert there.sum() > 60
    y, x = np.nonzero(there)
    f = 16 / np.tan(0.4)
    distance = f / (y + 0.5 - 16)  # w of the floor, one below the eye
    theirs = np.stack([(x + 0.5 - 16) / f * distance, -np.ones(len(x)), 6 - distance], 1)
    mine = triangles.interpolated(seen, mesh.faces, corners, w)[there]
    np.testing.assert_allclose(mine, theirs, atol=2e-3)
    assert np.abs(triangles.interpolated(seen, mesh.faces, corners)[there] - theirs).max() > 1.0


def test_what_is_nearer_hides_what_is_behind_it():
    cubes = solids.joined([solids.cube(), solids.cube()])
    for z, first in ((2.0, False), (-3.0, True)):
        corners = jnp.asarray(cubes.corners).at[8:].multiply(0.5).at[8:, 2].add(z)
        seen, _ = solids.looked_at(solids.Mesh(corners, cubes.faces), CAMERA, 32, 32)
        assert (int(seen.face[16, 16]) < 12) == first


def test_what_lies_behind_the_eye_is_not_drawn():
    mesh = solids.cube()
    away = solids.Mesh(jnp.asarray(mesh.corners) + jnp.array([0.0, 0.0, 9.0]), mesh.faces)
    assert (solids.looked_at(away, CAMERA, 16, 16)[0].face == -1).all()


def test_a_sphere_has_its_silhouette():
    mesh = solids.sphere(24, 32)
    picture = solids.drawn(mesh, jnp.ones((len(mesh.faces), 1)), CAMERA, jnp.zeros(1), 32, 32, ambient=1.0)
    radius = 16 / np.tan(0.4) / np.sqrt(6**2 - 1)  # of the cone that touches it
    assert float(picture.sum()) == pytest.approx(np.pi * radius**2, rel=0.02)


def test_a_face_is_as_bright_as_it_looks_at_the_light():
    mesh, light = solids.cube(), jnp.array([1.0, 2.0, 2.0])
    shaded = solids.lit(mesh, jnp.ones((12, 1)), light, ambient=0.25)
    expected = 0.25 + 0.75 * np.maximum(np.asarray(solids.normals(mesh)) @ (np.array([1, 2, 2]) / 3), 0)
    np.testing.assert_allclose(shaded[:, 0], expected, rtol=1e-5)
    assert {round(float(x), 4) for x in shaded[:, 0]} == {0.25, 0.5, 0.75}
    brightness = lambda light: solids.drawn(mesh, jnp.ones((12, 1)), CAMERA, jnp.zeros(1), 16, 16, light).sum()
    assert (jnp.abs(jax.grad(brightness)(light)) > 0).any()


def test_rotations():
    turn = solids.rotation(jnp.array([0.0, 0.0, 2.0]), jnp.pi / 2)
    np.testing.assert_allclose(turn @ jnp.array([1.0, 0, 0]), [0, 1, 0], atol=1e-6)
    turn = solids.rotation(jnp.array([1.0, -2.0, 0.5]), 0.7)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    assert float(jnp.trace(turn)) == pytest.approx(1 + 2 * np.cos(0.7), rel=1e-5)
