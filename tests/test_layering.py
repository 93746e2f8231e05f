# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom: ui -> operators -> mesh, operators -> neural.client, neural -> mesh; each library in its own layer.

Two ways: by reading every import statement, and by importing what Blender imports with the engine's libraries blocked.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LAYERS = ("mesh", "neural", "operators", "ui")
BLENDER = {"bpy", "bmesh", "bpy_extras", "mathutils", "gpu", "gpu_extras", "blf", "aud", "imbuf", "addon_utils"}
ENGINE = {"numpy", "torch", "cv2", "numba", "PIL", "dlib", "face_alignment", "mediapipe", "av", "scipy", "OpenEXR", "skimage", "safetensors", "tqdm"}
CLIENT = {"neural.client", "neural.engine_process", "neural.protocol", "neural.version"}
"""The part of the engine that Blender's side imports: standard library, numpy and mesh only."""

SCRIPTS = {"neural.bootstrap"}
"""Run as a file, so it has no package to be relative to."""

THIRD_PARTY = {"root": {"bpy"}, "compat": BLENDER | {"numpy"}, "mesh": {"numpy"}, "client": {"numpy"}, "neural": ENGINE,
               "operators": BLENDER | {"numpy"}, "ui": BLENDER | {"numpy"}}
"""Layer -> what it may import beside the standard library."""

PROJECT = {"root": {"compat", "operators", "ui"}, "compat": {"mesh"}, "mesh": {"mesh"}, "client": {"mesh", "client"},
           "neural": {"mesh", "neural", "client"}, "operators": {"compat", "mesh", "operators", "client"},
           "ui": {"compat", "mesh", "operators", "ui"}}
"""Layer -> the layers it may import."""


def sources() -> list[Path]:
    files = [REPOSITORY / "__init__.py", REPOSITORY / "compat.py"]
    for layer in LAYERS:
        files += sorted((REPOSITORY / layer).rglob("*.py"))
    return [f for f in files if f.exists()]


def module_name(path: Path) -> str:
    """Dotted name inside the project: "mesh.model", "neural.client", "" for the root."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    if any(module == c or module.startswith(c + ".") for c in CLIENT):
        return "client"
    return module.split(".")[0] or "root"


def imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line, "project" or "outside", dotted name) of each import; relative ones resolved inside the project."""
    package = module_name(path).split(".") if module_name(path) else []
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, "outside", name.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, "outside", node.module or ""
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= len(package) + 1, f"{path}:{node.lineno}: the relative import leaves the project"
            base = [*package[:len(package) + 1 - node.level], *(node.module.split(".") if node.module else [])]
            for name in node.names:
                full = [*base, name.name]
                target = REPOSITORY.joinpath(*full)
                yield node.lineno, "project", ".".join(full if target.is_dir() or target.with_suffix(".py").exists() else base)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_imports_stay_in_their_layer(path: Path) -> None:
    layer = layer_of(module_name(path))
    wrong = []
    for line, kind, name in imports(path):
        top = name.split(".")[0]
        if kind == "project" and layer_of(name) not in PROJECT[layer] | ({"root"} if not name else set()):
            wrong.append(f"line {line}: {layer} must not import {name}")
        if top == "mien" and module_name(path) in SCRIPTS:
            continue
        if kind == "outside" and top not in THIRD_PARTY[layer] and top not in sys.stdlib_module_names:
            wrong.append(f"line {line}: {layer} must not import {name}" + (" by its absolute name" if top == "mien" else ""))
    assert not wrong, f"{path.relative_to(REPOSITORY)}: " + "; ".join(wrong)


def test_the_root_imports_nothing_when_it_is_imported() -> None:
    tree = ast.parse((REPOSITORY / "__init__.py").read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = [alias.name if isinstance(node, ast.Import) else node.module for node in top for alias in node.names]
    assert all(name and name.split(".")[0] in sys.stdlib_module_names for name in names), names


BLOCKED_IMPORT = """
import importlib, sys
blocked, modules = set(sys.argv[1].split(",")), sys.argv[2].split(",")
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
for module in modules:
    importlib.import_module(module)
    loaded = blocked & {m.split(".")[0] for m in sys.modules}
    assert not loaded, (module, loaded)
"""


def import_blocked(blocked: set[str], modules: list[str], folder: Path) -> None:
    """Import `modules` in a new process in which importing `blocked` fails."""
    run = subprocess.run([sys.executable, "-c", BLOCKED_IMPORT, ",".join(sorted(blocked)), ",".join(modules)],
                         capture_output=True, text=True, timeout=60, cwd=folder)
    assert run.returncode == 0, run.stderr


def test_the_root_imports_with_everything_blocked(tmp_path: Path) -> None:
    import_blocked(BLENDER | ENGINE, ["mien"], tmp_path)


def test_mesh_and_client_import_without_the_engine_or_blender(tmp_path: Path) -> None:
    modules = ["mien." + module_name(p) for p in sources() if layer_of(module_name(p)) in ("mesh", "client")]
    assert "mien.mesh.model" in modules
    import_blocked((BLENDER | ENGINE) - {"numpy"}, modules, tmp_path)


def test_the_engine_never_needs_blender(tmp_path: Path) -> None:
    modules = ["mien." + module_name(p) for p in sources() if layer_of(module_name(p)) == "neural" and p.name != "__main__.py"]
    import_blocked(BLENDER, modules, tmp_path)


def test_every_package_is_listed_for_installation() -> None:
    """pyproject.toml names each folder with an __init__.py, otherwise an installed engine would lack it."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    packages = {"mien." + module_name(p) for p in sources() if p.name == "__init__.py" and module_name(p)}
    unlisted = sorted(p for p in packages if f'"{p}"' not in text)
    assert not unlisted, f"pyproject.toml lacks the packages {unlisted}"
