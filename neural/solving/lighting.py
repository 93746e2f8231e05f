# SPDX-License-Identifier: GPL-3.0-or-later
"""Light as spherical harmonics: nine functions of the normal for each of three colours, 27 coefficients (Ramamoorthi & Hanrahan 2001).

A matte surface under distant light has, to within a few per cent, radiance = albedo * (Y(normal) @ light), quadratic in the normal.
"""

from __future__ import annotations

import numpy as np

LAMBERT = np.pi * np.array([1.0, *[2 / 3] * 3, *[1 / 4] * 5])
"""What a matte surface leaves of each coefficient of the light that falls on it."""
STIFF = 1e-3
"""Pull towards even white light, against surfaces that do not show all normals."""


def harmonics(normals: np.ndarray) -> np.ndarray:
    """Unit normals (..., 3) -> (..., 9), orthonormal on the sphere, orders 0 to 2."""
    x, y, z = np.moveaxis(np.asarray(normals, np.float64), -1, 0)
    a, b, c = np.sqrt(np.array([1 / (4 * np.pi), 3 / (4 * np.pi), 15 / (4 * np.pi)]))
    return np.stack([a + 0 * x, b * y, b * z, b * x, c * x * y, c * y * z, c / (2 * np.sqrt(3)) * (3 * z * z - 1), c * x * z,
                     c / 2 * (x * x - y * y)], -1)


def even_light() -> np.ndarray:
    """(9, 3): white light from everywhere, under which a surface shows its albedo."""
    light = np.zeros((9, 3))
    light[0] = np.sqrt(4 * np.pi)
    return light


def fit_light(basis: np.ndarray, albedo: np.ndarray, colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(9, 3): the light under which albedo (n, 3) on normals of `harmonics` (n, 9) shows colours (n, 3), by weighted least squares; weight (n,)."""
    light, even = np.zeros((9, 3)), even_light()
    for k in range(3):
        A = basis * albedo[:, k, None]
        W = A * weight[:, None]
        H = W.T @ A
        stiff = STIFF * np.trace(H) / 9 * np.eye(9)
        light[:, k] = np.linalg.solve(H + stiff + 1e-12 * np.eye(9), W.T @ colour[:, k] + stiff @ even[:, k])
    return light
