# SPDX-License-Identifier: GPL-3.0-or-later
"""See that the shared libraries which bpy and OpenCV load are on this Linux; install them where that is possible.

Standard library only: it runs before the environment exists. Exit code 0: all there. 1: missing, with the command to type.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

LIBRARIES = {
    "libX11.so.6": "libx11-6",
    "libXi.so.6": "libxi6",
    "libXfixes.so.3": "libxfixes3",
    "libXrender.so.1": "libxrender1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
}
"""Shared library -> Debian package."""


def missing() -> list[str]:
    """The Debian packages whose libraries cannot be loaded."""
    packages = []
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            packages.append(package)
    return list(dict.fromkeys(packages))


def main() -> int:
    packages = missing() if sys.platform == "linux" else []
    if not packages:
        return 0
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print(f"System libraries are missing. As root, type:\n  apt-get update && {' '.join(command)}\n"
              "(these are Debian's names; other systems have them under similar ones), then run make again.", file=sys.stderr)
        return 1
    print("installing system libraries:", *packages)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "-qq"], ["apt-get", "install", "-qq", *command[2:]]):
        if subprocess.run(step, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            print(f"'{' '.join(step)}' failed; install {' '.join(packages)} by hand, then run make again.", file=sys.stderr)
            return 1
    left = missing()
    if left:
        print(f"Still missing after the installation: {' '.join(left)}.", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
