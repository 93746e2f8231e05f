# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of engine processes share."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mien.neural.protocol import Done

JOBS = Path(__file__).with_name("engine_jobs.py")
LIMIT = 60.0
"""Seconds until a test gives up; none waits for it when all is well."""

posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def until(condition, limit=LIMIT):
    """Poll until `condition()`; fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def under_way(job):
    """Wait for the job's first PROGRESS."""
    until(lambda: job.poll() is not None and (job.progress is not None or job.final is not None))
    assert job.final is None, job.final
    return job


def works(engine):
    final = engine.run("echo", {"x": 1}).wait(timeout=LIMIT)
    assert isinstance(final, Done), final
    return final.result
