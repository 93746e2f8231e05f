# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames through a pure function on a few threads, in order and in constant memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

WORKERS = max(1, min(4, os.cpu_count() or 1))


def ordered_map(function: Callable[[A], B], items: Iterable[A], workers: int = WORKERS) -> Iterator[B]:
    """function(item) for each item, in the items' order, at most workers + 1 ahead of the reader.

    The heavy parts of a frame (compiled loops, OpenCV, FFmpeg) let go of the interpreter, so threads are enough. When the
    reader stops early, nothing more is started. An exception comes out at its item's turn.
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[B]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
