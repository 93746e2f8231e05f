# SPDX-License-Identifier: GPL-3.0-or-later
from mien.mesh.frames import frame_ranges, ranges_text


def test_ranges_and_their_text():
    assert frame_ranges([]) == [] and ranges_text([]) == ""
    assert frame_ranges([9, 3, 4, 5]) == [[3, 5], [9, 9]]
    assert ranges_text([[3, 5], [9, 9]]) == "3-5, 9"
    assert ranges_text([[n, n] for n in range(1, 20, 2)], most=8) == "1, 3, 5, 7, 9, 11, 13, 15 and 2 more"
