# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks of a face on every frame of a plate."""

from .track import chosen_face, other_faces, track_faces

__all__ = ["chosen_face", "other_faces", "track_faces"]
