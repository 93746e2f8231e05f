# SPDX-License-Identifier: GPL-3.0-or-later
"""The zip: built and checked by Blender's own tool, installed, switched on, off and on again in a Blender of its own, and used there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("bpy")

INSTALL = """
import json, os, sys
from pathlib import Path

import bpy

def added():
    import addon_utils
    types = [n for n in ("MIEN_OT_track", "MIEN_PT_main") if hasattr(bpy.types, n)]
    properties = [t for t in ("Scene", "Object") if hasattr(getattr(bpy.types, t), "mien")]
    return types + properties + list(dir(bpy.ops.mien)) + [a for a in bpy.context.preferences.addons.keys() if "mien" in a]

def main():
    out = {"before": added()}
    bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
    out["on"] = added()
    package = sys.modules["bl_ext.user_default.mien"]
    out["heavy"] = sorted({"torch", "cv2", "numba", "mediapipe", "av", "scipy"} & set(sys.modules))
    bpy.ops.preferences.addon_disable(module="bl_ext.user_default.mien")
    out["off"] = added()
    bpy.ops.preferences.addon_enable(module="bl_ext.user_default.mien")
    out["again"] = added()
    bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2])
    bpy.ops.mien.open_shot(directory=sys.argv[3])
    bpy.ops.mien.import_face()
    face = bpy.context.scene.mien.face
    out["face"] = [face.name, len(face.data.vertices), len(face.data.shape_keys.key_blocks)]
    preferences = bpy.context.preferences.addons["bl_ext.user_default.mien"].preferences
    preferences.engine_python = sys.executable
    bpy.ops.mien.choose_plate(filepath=sys.argv[4])
    try:
        bpy.ops.mien.track()
    except RuntimeError as error:
        out["track"] = str(error)
    folder = Path(package.__file__).parent
    out["user"] = sorted(p.name for p in Path(bpy.utils.extension_path_user("bl_ext.user_default.mien")).iterdir())
    bpy.ops.preferences.addon_disable(module="bl_ext.user_default.mien")
    out["end"] = added()
    print("RESULT " + json.dumps(out))

code = 1
try:
    main()
    code = 0
finally:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
"""


@pytest.fixture(scope="module")
def package(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, built and validated as `make zip` does."""
    folder = tmp_path_factory.mktemp("dist")
    run = subprocess.run([sys.executable, str(repository / "build" / "package.py"), "--output-dir", str(folder)],
                         capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return next(folder.glob("*.zip"))


def test_what_is_in_the_zip(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
    for wanted in ("blender_manifest.toml", "__init__.py", "compat.py", "LICENSE", "requirements/engine.txt", "requirements/constraints.txt",
                   "requirements/recognition.txt",
                   "mesh/data/default.npz", "mesh/model.py", "neural/client.py", "neural/bootstrap.py", "operators/face.py", "ui/panels.py"):
        assert wanted in names
    unwanted = {"tests", "benchmarks", "build", "out", "dist"}
    for name in names:
        assert name.split("/")[0] not in unwanted, name
        assert not any(part.startswith(".") or part == "__pycache__" or part.endswith((".mien", ".egg-info")) for part in name.split("/")), name
    assert package.stat().st_size < 10e6


def test_manifest_and_project_agree(repository: Path) -> None:
    tomllib = pytest.importorskip("tomllib")
    manifest = tomllib.loads((repository / "blender_manifest.toml").read_text(encoding="utf-8"))
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert manifest["version"] == project["project"]["version"]
    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    assert set(manifest["permissions"]) == {"files", "network"}
    assert all(len(reason) <= 64 and not reason.endswith(".") for reason in manifest["permissions"].values())


def test_install_and_use(package: Path, make_shot, tmp_path: Path) -> None:
    from mien.mesh.model import DEFAULT_MODEL_PATH
    shot = make_shot(frames=3, model=str(DEFAULT_MODEL_PATH))
    script, plate = tmp_path / "install.py", tmp_path / "text.mp4"
    script.write_text(INSTALL, encoding="utf-8")
    plate.write_text("no movie")
    resources = tmp_path / "resources"
    resources.mkdir()
    run = subprocess.run([sys.executable, "-I", str(script), str(package), str(tmp_path / "scene.blend"), str(shot.folder), str(plate)],
                         capture_output=True, text=True, timeout=180, cwd=tmp_path, check=False,
                         env={**os.environ, "BLENDER_USER_RESOURCES": str(resources), "MIEN_PYTHON": ""})
    assert run.returncode == 0, run.stdout + run.stderr
    out = json.loads(next(line for line in run.stdout.splitlines() if line.startswith("RESULT "))[7:])
    assert out["before"] == out["off"] == out["end"] == []
    assert out["on"] == out["again"]
    assert {"MIEN_OT_track", "MIEN_PT_main", "Scene", "Object", "import_face", "bl_ext.user_default.mien"} <= set(out["on"])
    assert out["heavy"] == []
    assert out["face"][0] == "talk Face"
    assert out["face"][2] == 66  # the basis, 64 expressions, and the key of the live edit
    assert "text.mp4" in out["track"]
    assert out["user"] == ["logs"]
