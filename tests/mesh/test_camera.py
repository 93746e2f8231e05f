# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mien.mesh.camera import TO_BLENDER, Camera, place, rotation_matrix, rotation_vector


def test_rotations_agree_with_scipy():
    vectors = np.random.default_rng(0).normal(0, 0.8, (50, 3))
    matrices = rotation_matrix(vectors)
    assert np.allclose(matrices, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)
    assert np.allclose(rotation_vector(matrices), vectors, atol=1e-9)


def test_no_rotation_is_exact():
    assert np.array_equal(rotation_matrix(np.zeros((2, 3))), np.broadcast_to(np.eye(3), (2, 3, 3)))


def test_projection_against_the_matrix_form():
    camera = Camera(1920, 1080, 1500.0, 950.0, 530.0)
    points = np.random.default_rng(1).normal(0, 0.1, (20, 3)) + (0, 0, 0.8)
    homogeneous = points @ np.array([[1500, 0, 950], [0, 1500, 530], [0, 0, 1.0]]).T
    assert np.allclose(camera.project(points), homogeneous[:, :2] / homogeneous[:, 2:])


def test_blender_axes_are_a_turn_not_a_mirror():
    assert np.linalg.det(TO_BLENDER) == pytest.approx(1)
    assert np.array_equal(TO_BLENDER @ (0, -1, 0), (0, 0, 1)), "up must be +z"
    assert np.array_equal(TO_BLENDER @ (0, 0, 1), (0, 1, 0)), "away from the camera must be +y"


def test_centred_lens_has_no_shift():
    lens, x, y = Camera.centred(1080, 1920, 1080.0).blender_lens()
    assert (lens, x, y) == (pytest.approx(36.0), 0, 0)


def test_place_turns_and_moves():
    p = place(np.array([[1.0, 0, 0]]), np.array([0, 0, np.pi / 2]), np.array([0, 0, 2.0]))
    assert np.allclose(p, [[0, 1, 2]])
