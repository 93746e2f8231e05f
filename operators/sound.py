# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound: the plate's own, in the scene's sequencer, heard while playing and scrubbing and seen as a waveform on the emotions' timeline."""

from __future__ import annotations

import bpy

from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import shots
from .emotion import FaceOperator
from .render_job import first_line


def strip_name(shot: Shot) -> str:
    return f"{shots.shot_name(shot.folder)} Sound"


def find(scene: bpy.types.Scene, shot: Shot) -> bpy.types.Strip | None:
    """The shot's sound strip in this scene."""
    return scene.sequence_editor.strips.get(strip_name(shot)) if scene.sequence_editor else None


def add(scene: bpy.types.Scene, shot: Shot) -> bpy.types.Strip:
    """Put the sound on the plate's frames, on the lowest free channel; strips of sound alone do not change what the scene renders.

    Raises MienError when the plate has no sound or it cannot be read.
    """
    if not shot.plate.audio or shot.plate.kind != "movie":
        raise MienError(f"The plate {shot.plate_path.name} has no sound; add a sound file to the sequencer yourself.")
    strips = scene.sequence_editor_create().strips
    used = {strip.channel for strip in strips}
    try:
        strip = strips.new_sound(strip_name(shot), shots.stored_path(shot.plate_path), next(c for c in range(1, 129) if c not in used),
                                 shot.plate.first_frame)
    except RuntimeError as error:
        raise MienError(f"Blender cannot read the sound of {shot.plate_path} ({first_line(error)}); convert it to AAC or WAV first.") from error
    strip.show_waveform = True
    strip.frame_final_end = min(strip.frame_final_end, shot.plate.first_frame + shot.plate.frame_count)
    scene.sync_mode, scene.use_audio_scrub = "AUDIO_SYNC", True
    return strip


class MIEN_OT_sound(FaceOperator, bpy.types.Operator):
    """Hear the plate's sound while playing and scrubbing, with its waveform in the sequencer; press again to take it away"""

    bl_idname = "mien.sound"
    bl_label = "Plate's Sound"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        try:
            shot = Shot.load(shots.absolute(shots.active_face(context).mien.shot_folder))
            strip = find(scene, shot)
            if strip is not None:
                scene.sequence_editor.strips.remove(strip)
            else:
                add(scene, shot)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (MIEN_OT_sound,)
