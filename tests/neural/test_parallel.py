# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames handed between threads: order, errors, early ends, and what a stage works out once."""

import threading

import numpy as np
import pytest

from mien.mesh.model import load_model
from mien.neural.parallel import ahead, ordered_map
from mien.neural.rendering.mesh import RenderMesh
from mien.neural.texture import median_seen


def test_ahead_keeps_order_and_works_in_another_thread():
    made = []

    def source():
        for i in range(20):
            made.append(threading.current_thread())
            yield i

    assert list(ahead(source())) == list(range(20))
    assert threading.current_thread() not in made and len(set(made)) == 1


def test_ahead_is_at_most_so_far_ahead():
    count = 0

    def source():
        nonlocal count
        for i in range(100):
            count += 1
            yield i

    for i in ahead(source(), 3):
        assert count <= i + 4
        if i == 10:
            break


def test_ahead_gives_the_error_at_its_turn():
    def source():
        yield 1
        yield 2
        raise ValueError("broken")

    got = []
    with pytest.raises(ValueError, match="broken"):
        got.extend(ahead(source()))
    assert got == [1, 2]


def test_a_reader_that_stops_closes_the_source():
    closed = []

    def source():
        try:
            yield from range(100)
        finally:
            closed.append(True)

    items = ahead(source())
    assert next(items) == 0
    items.close()
    assert closed == [True]


def test_ahead_of_nothing_and_together_with_the_map():
    assert list(ahead(())) == []
    assert list(ordered_map(lambda x: x * x, ahead(iter(range(9))), 2)) == [x * x for x in range(9)]


def test_the_median_is_numpys():
    rng = np.random.default_rng(0)
    textures = rng.integers(0, 256, (7, 400, 3), np.uint8)
    seen = rng.random((7, 400)) > 0.6
    got, known = median_seen(list(textures), list(seen))
    masked = np.ma.masked_array(textures.astype(np.float64), np.broadcast_to(~seen[..., None], textures.shape))
    assert np.array_equal(known, seen.any(0)) and not known.all()
    assert np.array_equal(got, np.ma.median(masked, axis=0).filled(0))


def test_the_lock_is_made_once_for_a_model_and_again_for_another():
    model = load_model()
    one, two = RenderMesh(model), RenderMesh(load_model())
    assert one.lock is two.lock and not one.lock.data.flags.writeable
    other = load_model()
    other.landmark_vertices = other.landmark_vertices.copy()
    other.landmark_vertices[0] = (other.landmark_vertices[0] + 1) % other.vertex_count
    changed = RenderMesh(other)
    assert changed.lock is not one.lock and not np.array_equal(changed.lock.toarray(), one.lock.toarray())
