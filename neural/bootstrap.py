# SPDX-License-Identifier: GPL-3.0-or-later
"""What the client starts: `python -I -X utf8 .../neural/bootstrap.py`, with the engine's own Python.

Inside Blender the extension's folder may be called anything and is no importable package of that Python, so this file
registers the folder two levels up as the package `mien` and hands over to the worker. It must be readable to any
Python 3, since it also tells those that are too old or too new.
"""

import importlib.util
import json
import os
import sys

OLDEST, NEWEST = (3, 11), (3, 12)
"""The engine's Pythons: MediaPipe and PyAV, as pinned, have no wheels beyond them."""


def unsuitable(version):
    """One sentence when this Python (major, minor) cannot run the engine, else None."""
    if OLDEST <= tuple(version) <= NEWEST:
        return None
    return "The engine needs Python {}.{} or {}.{}, but {} is Python {}.{}; choose another one in the preferences of Mien.".format(
        *OLDEST, *NEWEST, sys.executable, *version)


def register_package(root):
    """Make the folder `root` importable as `mien`, whatever it is called and wherever the working directory is."""
    init = os.path.join(root, "__init__.py")
    spec = importlib.util.spec_from_file_location("mien", init, submodule_search_locations=[root])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mien"] = module
    spec.loader.exec_module(module)


def main():
    problem = unsuitable(sys.version_info[:2])
    if problem:
        print(json.dumps({"type": "ERROR", "text": problem, "log": "", "kind": "user", "details": ""}), flush=True)
        return 1
    here = os.path.dirname(os.path.abspath(__file__))
    # Python puts a script's folder first; ours would shadow top-level modules by the names of the engine's.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != here]
    register_package(os.path.dirname(here))
    from mien.neural.worker import main as work  # type: ignore[import-not-found]

    return work()


if __name__ == "__main__":
    sys.exit(main())
