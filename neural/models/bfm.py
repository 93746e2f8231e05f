# SPDX-License-Identifier: GPL-3.0-or-later
"""`BFM_model_front.mat`: Basel Face Model 2009 with FaceWarehouse's expressions, cropped to the face, as Deep3DFaceRecon_pytorch writes it
(Deng et al. 2019; its `util/load_mats.py` documents the keys). Indices are 1-based. Decimetres: that script divides the 2009 model's
micrometres by 1e5 before it writes; a file in micrometres is told by its size and read as well.

The bases are already multiplied by their standard deviations. Axes: x towards the subject's left, y up, z towards the viewer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...mesh.errors import MienError
from ...mesh.model import FaceModel
from .build import RawModel, build_model

KEYS = {"meanshape": "1 x 3N", "idBase": "3N x 80", "exBase": "3N x 64", "tri": "F x 3", "keypoints": "1 x 68"}
"""What is read, and its shape."""
AXES = np.array([0.1, -0.1, -0.1])
"""From the file's axes and decimetres to ours."""
MICROMETRES = 1e5
"""A decimetre in the units of the 2009 model."""


def read_bfm(path: Path) -> FaceModel:
    """The model of the file. Raises MienError that names the key or size that is wrong."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError
    path = Path(path)
    try:
        data = loadmat(path, variable_names=list(KEYS))
    except (OSError, ValueError, TypeError, NotImplementedError, EOFError, MatReadError) as error:
        raise MienError(f"{path} cannot be read as a MATLAB 5 file ({str(error) or 'it ends too early'}); copy it again.") from error
    for key, shape in KEYS.items():
        if key not in data:
            raise MienError(f"{path} is no BFM_model_front.mat: it lacks the key '{key}' ({shape}).")
        if data[key].dtype.kind not in "fiu":
            raise MienError(f"{path}: '{key}' does not hold numbers; copy the file again.")
    mean = data["meanshape"].astype(np.float64).ravel()
    N = len(mean) // 3

    def basis(key: str) -> np.ndarray:
        value = data[key]
        if value.ndim != 2 or value.shape[0] != 3 * N:
            raise MienError(f"{path}: '{key}' is {' x '.join(map(str, value.shape))}, expected {3 * N} x any, as 'meanshape' has {3 * N} values.")
        return (value.T.reshape(-1, N, 3) * axes).astype(np.float32)

    if not N or len(mean) != 3 * N:
        raise MienError(f"{path}: 'meanshape' has {len(mean)} values, expected three a vertex.")
    axes = AXES / (MICROMETRES if np.ptp(mean) > 1000 else 1)
    triangles, points = data["tri"].astype(np.int64), data["keypoints"].astype(np.int64).ravel()
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.min() < 1 or triangles.max() > N:
        raise MienError(f"{path}: 'tri' must be F x 3 vertex numbers from 1 to {N}; it is {' x '.join(map(str, triangles.shape))}, "
                        f"from {triangles.min()} to {triangles.max()}.")
    if points.shape != (68,) or points.min() < 1 or points.max() > N:
        raise MienError(f"{path}: 'keypoints' must be 68 vertex numbers from 1 to {N}; it has {points.size}.")
    identity, expression = basis("idBase"), basis("exBase")
    names = tuple(f"faceWarehouse{i:02d}" for i in range(len(expression)))
    return build_model(RawModel("bfm", path, mean.reshape(N, 3) * axes, identity, expression, names, np.ones(len(names)), triangles - 1, points - 1))
