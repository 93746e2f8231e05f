# SPDX-License-Identifier: GPL-3.0-or-later
"""The plate's sound lies on its frames and can be taken away again."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from mien.mesh.model import DEFAULT_MODEL_PATH
from mien.tests.blender.synthetic import write_movie


def test_the_sound_lies_on_the_plates_frames(blender, make_shot, tmp_path: Path) -> None:
    from mien.operators import face, sound
    shot = make_shot(model=str(DEFAULT_MODEL_PATH), frames=12, fps=(24, 1))
    object = face.import_shot(blender.context.scene, shot).face
    blender.context.view_layer.objects.active = object
    with pytest.raises(RuntimeError, match="has no sound"):
        blender.ops.mien.sound()
    write_movie(tmp_path / "talk.mp4", frames=12, rate=Fraction(24), seconds=0.7)
    shot.plate = replace(shot.plate, path="../talk.mp4", kind="movie", audio=True)
    shot.save()
    scene = blender.context.scene
    assert blender.ops.mien.sound() == {"FINISHED"}
    strip = sound.find(scene, shot)
    assert (strip.frame_final_start, strip.frame_final_end) == (1001, 1013)
    assert strip.show_waveform
    assert scene.use_audio_scrub
    assert blender.ops.mien.sound() == {"FINISHED"}
    assert sound.find(scene, shot) is None
