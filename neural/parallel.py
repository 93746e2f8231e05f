# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames through a pure function on a few threads, in order and in constant memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, cast

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


def ahead(items: Iterable[A], most: int = 3) -> Generator[A, None, None]:
    """The items in their order, made by a thread of its own up to `most` before they are asked for.

    An exception comes out at its item's turn. When the reader stops early, a generator is closed.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, "mien-ahead") as pool:
        waiting = deque(pool.submit(next, source, end) for _ in range(most))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next, source, end))
                yield cast(A, item)
        finally:
            for future in waiting:
                future.cancel()
            if isinstance(source, Generator):
                pool.submit(source.close).result()
