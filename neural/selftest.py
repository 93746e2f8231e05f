# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this Python fit to be the engine: are its packages there, and do they compute?"""

from __future__ import annotations

import importlib
import platform
import sys
from importlib import metadata
from typing import Any

from ..mesh.errors import MienError
from .progress import Reporter
from .version import mien_version

PACKAGES = {"numpy": "numpy", "scipy": "scipy", "numba": "numba", "av": "av", "cv2": "opencv-contrib-python",
            "OpenEXR": "OpenEXR", "mediapipe": "mediapipe"}
"""Needed: module -> distribution."""
OPTIONAL = {"torch": "torch"}
"""Needed only for trained models."""


def selftest(report: Reporter) -> dict[str, Any]:
    """Import every package and compute a little with the native ones.

    Returns {mien, python, executable, platform, packages: {module: version or None}}. Raises MienError that names a
    package that is missing or does not work.
    """
    stage, total = "self test", len(PACKAGES) + len(OPTIONAL) + 2
    versions: dict[str, str | None] = {}
    report.step(stage, 0, total)
    for module, distribution in {**PACKAGES, **OPTIONAL}.items():
        versions[module] = _version(module, distribution, optional=module in OPTIONAL)
        report.step(stage, len(versions), total)
    for done, (name, check) in enumerate({"numba": _compile, "mediapipe": _look_for_a_face}.items(), len(versions) + 1):
        try:
            check()
        except Exception as error:
            raise MienError(f"The package '{name}' is installed in {sys.executable} but does not work ({type(error).__name__}: {error}); "
                            "install Mien's requirements again.") from error
        report.step(stage, done, total)
    return {"mien": mien_version(), "python": platform.python_version(), "executable": sys.executable, "platform": platform.platform(),
            "packages": versions}


def _version(module: str, distribution: str, *, optional: bool) -> str | None:
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        if optional and isinstance(error, ModuleNotFoundError) and error.name == module:
            return None
        raise MienError(f"The engine's Python {sys.executable} cannot import '{module}' ({error}); install Mien's requirements into it.") from error
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # another distribution of the same module, such as opencv-python-headless
        return str(getattr(loaded, "__version__", "unknown"))


def _compile() -> None:
    import numba
    import numpy as np

    @numba.njit
    def total(values: np.ndarray) -> float:
        result = 0.0
        for value in values:
            result += value
        return result

    if total(np.arange(10.0)) != 45.0:
        raise ArithmeticError("a compiled sum is wrong")


def _look_for_a_face() -> None:
    import mediapipe
    import numpy as np

    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True) as mesh:  # type: ignore[attr-defined]  # loaded lazily
        if mesh.process(np.zeros((64, 64, 3), np.uint8)).multi_face_landmarks:
            raise ArithmeticError("it sees a face in a black picture")
