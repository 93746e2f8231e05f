# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this Python fit to be the engine: are its packages there, do they compute, and on what?"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from .progress import Reporter
from .version import mien_version

PACKAGES = {"numpy": "numpy", "scipy": "scipy", "skimage": "scikit-image", "numba": "numba", "av": "av", "cv2": "opencv-contrib-python",
            "OpenEXR": "OpenEXR", "safetensors": "safetensors", "mediapipe": "mediapipe", "torch": "torch"}
"""Module -> distribution."""
SIZE = 160
"""Pixels of the picture that the tiny edit is made on."""


def selftest(report: Reporter) -> dict[str, Any]:
    """Import every package, compute a little with the native ones, edit a tiny picture.

    Returns {mien, python, executable, platform, device, packages: {module: version or None}, works, checks: [{name, ok, text, fix}]}. Never
    raises for what is missing: each check says what it found and, when it failed, what to do.
    """
    trials: dict[str, Callable[[], str]] = {"Compiled loops": _compile, "Face finder": _look_for_a_face, "Device": device, "Tiny edit": _edit}
    total = len(PACKAGES) + len(trials)
    versions: dict[str, str | None] = {}
    checks: list[dict[str, Any]] = []
    report.step("self test", 0, total)
    for module, distribution in PACKAGES.items():
        versions[module], problem = _version(module, distribution)
        if problem:
            checks.append({"name": distribution, "ok": False, "text": problem, "fix": _install(distribution)})
        report.step("self test", len(versions), total)
    if not checks:
        checks.append({"name": "Packages", "ok": True, "text": ", ".join(f"{n} {v}" for n, v in versions.items()), "fix": ""})
    for done, (name, trial) in enumerate(trials.items(), len(versions) + 1):
        checks.append(_check(name, trial))
        report.step("self test", done, total)
    found = {check["name"]: check["text"] for check in checks}
    return {"mien": mien_version(), "python": platform.python_version(), "executable": sys.executable, "platform": platform.platform(),
            "device": found["Device"], "packages": versions, "checks": checks, "works": all(check["ok"] for check in checks)}


def _check(name: str, trial: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "text": trial(), "fix": ""}
    except ModuleNotFoundError as error:
        missing = error.name or ""
        return {"name": name, "ok": False, "text": f"needs the package '{missing}'", "fix": _install(PACKAGES.get(missing, missing))}
    except Exception as error:  # noqa: BLE001 - whatever a broken package does is what the test is to tell
        return {"name": name, "ok": False, "text": f"does not work ({type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]})",
                "fix": "Press Set Up Engine to install the packages again; the log tells more."}


def _install(distribution: str) -> str:
    return f"Press Set Up Engine, or install '{distribution}' into {sys.executable} as requirements/engine.txt pins it."


def _version(module: str, distribution: str) -> tuple[str | None, str]:
    """(version, "") or (None, what is wrong)."""
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        return None, "is not installed" if error.name == module else f"lacks the package '{error.name}'"
    except ImportError as error:
        return None, f"cannot be loaded ({str(error).splitlines()[0]})"
    try:
        return metadata.version(distribution), ""
    except metadata.PackageNotFoundError:  # another distribution of the same module, such as opencv-python-headless
        return str(getattr(loaded, "__version__", "unknown")), ""


def device() -> str:
    """What torch computes on."""
    import torch
    if torch.cuda.is_available():
        return f"CUDA: {torch.cuda.get_device_name(0)}, torch {torch.__version__}"
    return f"processor, {os.cpu_count()} cores, torch {torch.__version__}"


def _compile() -> str:
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
    return f"numba {numba.__version__}"


def _look_for_a_face() -> str:
    import mediapipe
    import numpy as np

    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True) as mesh:  # type: ignore[attr-defined]  # loaded lazily
        if mesh.process(np.zeros((64, 64, 3), np.uint8)).multi_face_landmarks:
            raise ArithmeticError("it sees a face in a black picture")
    return f"MediaPipe {mediapipe.__version__}"


def _edit() -> str:
    """A smile on a made-up picture, rendered as a bake does."""
    import numpy as np

    from ..mesh.camera import Camera, place
    from ..mesh.model import load_model
    from .rendering import PlateRenderer

    model, camera = load_model(), Camera.centred(SIZE, SIZE, 2.2 * SIZE)
    renderer = PlateRenderer(model, camera)
    y, x = np.mgrid[:SIZE, :SIZE]
    plate = np.stack([(x * 5) % 200, (y * 7) % 200, (x + y) % 200], -1).astype(np.uint8)
    alpha, beta, pose = np.zeros(model.identity_count), np.zeros(model.expression_count), (np.zeros(3), np.array([0.0, 0.0, 0.5]))
    smile = beta.copy()
    smile[[i for i, name in enumerate(model.expression_names) if name.startswith("mouthSmile")]] = 1.0
    before, _ = renderer.project(alpha, beta, *pose)
    points = place(model.shape(alpha, smile).astype(np.float64), *pose)
    layer = renderer.render(plate, before, camera.project(points), points[:, 2].astype(np.float32))
    changed = 0 if layer is None else int((layer.over(plate) != plate).any(-1).sum())
    if not 50 < changed < SIZE * SIZE // 2:
        raise ArithmeticError(f"a smile changed {changed} of {SIZE * SIZE} pixels")
    started = time.perf_counter()  # the first time holds what is compiled once
    renderer.render(plate, before, camera.project(points), points[:, 2].astype(np.float32))
    return f"a smile on {SIZE} x {SIZE} pixels in {1000 * (time.perf_counter() - started):.0f} ms"
