# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user is told when a job ends by an exception, in the engine and on the command line alike."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from ..mesh.errors import MienError

P = ParamSpec("P")


def tells_errors(command: Callable[P, int]) -> Callable[P, int]:
    """For the command of a module: what the user can mend is told on stderr in its sentence, and the exit code is 1."""
    @functools.wraps(command)
    def telling(*args: P.args, **options: P.kwargs) -> int:
        try:
            return command(*args, **options)
        except MienError as error:
            print(f"mien: {error}", file=sys.stderr)
            return 1
    return telling


def told(error: BaseException, job: str) -> tuple[str, str]:
    """(one sentence, kind): "user" for what the user can mend, "defect" for a mistake of ours whose traceback belongs in the log."""
    if isinstance(error, MienError):
        return str(error), "user"
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] != "mien":
        return f"The Python {sys.executable} lacks the package '{error.name}'; install Mien's requirements into it or choose another one.", "user"
    if isinstance(error, MemoryError):
        return f"The memory did not suffice for '{job}'; close other programs or use a smaller plate.", "user"
    lines = str(error).strip().splitlines()
    return f"'{job}' failed by a mistake in Mien ({type(error).__name__}{': ' + lines[0] if lines else ''}); the log tells where.", "defect"
