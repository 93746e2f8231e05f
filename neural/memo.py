# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from a face model alone is made once a process: a shot's stages follow each other, each with its own copy of the model."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from ..mesh.model import FaceModel

T = TypeVar("T")

KEPT = 4
"""Results that stay in memory."""


def once_per_model(function: Callable[..., T]) -> Callable[..., T]:
    """function(model, *numbers), its last results kept by the model's hash. Who asks while one is being made waits for it. Results are read-only."""
    found: OrderedDict[tuple, T] = OrderedDict()
    lock = threading.Lock()

    @functools.wraps(function)
    def kept(model: FaceModel, *numbers: int) -> T:
        key = model.hash, *numbers
        with lock:
            if key not in found:
                found[key] = function(model, *numbers)
                if len(found) > KEPT:
                    found.popitem(last=False)
            return found[key]
    return kept
