# SPDX-License-Identifier: GPL-3.0-or-later
"""The controls of level 2 and of the teeth reach the engine under the names that it knows."""

import bpy

from mien.neural.edit import EditSettings
from mien.operators.appearance import appearance_settings


def test_controls_are_settings_of_the_engine(blender):
    face = bpy.data.objects.new("face", None)
    assert EditSettings.from_dict(appearance_settings(face)) == EditSettings()
    face.mien.texture_strength, face.mien.teeth, face.mien.teeth_locked, face.mien.teeth_frame = 0.25, "off", True, 12
    face.mien.texture = "full"
    settings = EditSettings.from_dict(appearance_settings(face))
    assert (settings.texture, settings.texture_strength, settings.mouth, settings.mouth_frame) == ("full", 0.25, "off", 12)
