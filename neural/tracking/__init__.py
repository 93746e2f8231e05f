# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks of a face on every frame of a plate."""

from .track import track_plate

__all__ = ["track_plate"]
