# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the engine's environment: a real venv, with a package of a few lines instead of the network."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mien.mesh.errors import MienError
from mien.neural import setup_engine
from mien.neural.client import Engine
from mien.neural.progress import Cancelled, Silent
from mien.neural.protocol import Done, Error


def write_wheel(folder: Path, name: str) -> None:
    """A package of one module, as a wheel."""
    files = {f"{name}.py": b"VALUE = 7\n", f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
             f"{name}-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = "".join(f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
                     for path, data in files.items())
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", record + f"{name}-1.0.dist-info/RECORD,,\n")


def write_requirements(folder: Path, *lines: str, known: str = "") -> Path:
    """known: the line that is wanted for recognition alone."""
    folder.mkdir(exist_ok=True)
    (folder / "recognition.txt").write_text(known + "\n")
    (folder / "engine.txt").write_text("# pins\n" + "\n".join(lines) + "\n")
    (folder / "constraints.txt").write_text("mien_small==1.0\n")
    return folder


def state(folder: Path) -> dict:
    return json.loads((folder / "setup.json").read_text())


def value(python: Path, module: str) -> str:
    return subprocess.run([str(python), "-c", f"import {module}; print({module}.VALUE)"], capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """An environment that stopped at its second package, and the folder of packages, which lacks that one."""
    folder, wheels = tmp_path_factory.mktemp("user é") / "engine", tmp_path_factory.mktemp("wheels")
    write_wheel(wheels, "mien_small")
    with pytest.raises(MienError, match="'mien_tiny' has no package for Python"):
        setup_engine.setup(folder, requirements=write_requirements(folder.parent / "pins", "mien_small==1.0", "mien_tiny==1.0"), wheels=wheels,
                           report=Silent())
    return folder, wheels


def test_a_failed_set_up_says_where_it_stopped_and_goes_on_from_there(made) -> None:
    folder, wheels = made
    assert (state(folder)["state"], state(folder)["step"]) == ("unfinished", "mien_tiny")
    python = setup_engine.venv_python(folder)
    assert value(python, "mien_small") == "7"
    before = (folder / "venv" / "pyvenv.cfg").stat().st_mtime_ns
    write_wheel(wheels, "mien_tiny")
    assert setup_engine.setup(folder, requirements=folder.parent / "pins", wheels=wheels, report=Silent()) == {"python": str(python)}
    assert state(folder)["state"] == "done"
    assert value(python, "mien_tiny") == "7"
    assert (folder / "venv" / "pyvenv.cfg").stat().st_mtime_ns == before  # not made anew


class StopAt(Silent):
    def __init__(self, stage: str):
        super().__init__()
        self.stage = stage

    def step(self, stage, done, total):
        if stage == self.stage:
            raise Cancelled


def test_cancelling_keeps_what_is_there(made) -> None:
    folder, wheels = made
    with pytest.raises(Cancelled):
        setup_engine.setup(folder, requirements=folder.parent / "pins", wheels=wheels, report=StopAt("mien_small"))
    assert (state(folder)["state"], state(folder)["step"]) == ("unfinished", "mien_small")
    assert setup_engine.works(setup_engine.venv_python(folder))


def test_as_a_job_of_a_bare_python(made, tmp_path) -> None:
    """The worker and this job import nothing but the standard library: the venv's Python has no numpy."""
    folder, wheels = made
    with Engine(setup_engine.venv_python(folder), tmp_path / "logs") as engine:
        params = {"folder": str(tmp_path / "engine"), "requirements": str(write_requirements(tmp_path / "pins", "mien_small==1.0")),
                  "wheels": str(wheels)}
        final = engine.run("setup", params).wait(timeout=300)
        assert isinstance(final, Done), final
        assert value(Path(final.result["python"]), "mien_small") == "7"
        test = engine.run("selftest", {}).wait(timeout=100)
        assert isinstance(test, Done), test
    checks = {check["name"]: check for check in test.result["checks"]}
    assert not test.result["works"]
    assert "numpy" in checks and not checks["numpy"]["ok"] and "Set Up Engine" in checks["numpy"]["fix"]
    assert not checks["Tiny edit"]["ok"]


def test_cuda_or_not_is_all_there_is() -> None:
    with Engine(Path(sys.executable), Path("/nonexistent")) as engine:
        final = engine.run("setup", {"folder": "/tmp/x", "device": "tpu"}).wait(timeout=60)
    assert isinstance(final, Error) and "cpu or cuda" in final.text


@pytest.mark.parametrize("output, words", [
    ("ERROR: [Errno 28] No space left on device", "disk is full"),
    ("WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching distribution found", "check the network"),
    ("ERROR: No matching distribution found for torch==2.13.0", "has no package for Python"),
    ("ERROR: [Errno 13] Permission denied: '/x'", "permissions"),
    ("Segmentation fault", "the log tells why"),
])
def test_what_went_wrong_in_one_sentence(output, words) -> None:
    text = setup_engine.reason("torch", output)
    assert words in text and "'torch'" in text
    assert text.count(". ") == 0 and text.endswith(".")


def test_the_pins_of_the_extension_are_read() -> None:
    names = [setup_engine.name_of(line) for line in setup_engine.read_requirements(setup_engine.REQUIREMENTS / "engine.txt")]
    assert {"torch", "mediapipe", "numpy"} <= set(names)
    assert setup_engine.WEIGHTS.keys() <= set(names)
