# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 2 and teeth: the artist's choices as settings of a bake."""

from __future__ import annotations

from typing import Any

import bpy


def appearance_settings(face: bpy.types.Object) -> dict[str, Any]:
    """Settings of a bake that are about the skin's texture and the inside of the mouth."""
    m = face.mien
    settings: dict[str, Any] = {"texture": m.texture, "texture_strength": round(m.texture_strength, 4), "texture_borrow": round(m.texture_borrow, 4),
                                "mouth": m.teeth, "mouth_amount": round(m.teeth_amount, 4)}
    return settings | ({"mouth_frame": m.teeth_frame} if m.teeth_locked else {})
