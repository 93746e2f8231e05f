# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliver: the composited shot with the plate's own sound, through the sequencer, as a movie or a sequence of pictures.

The delivery scene holds the composite as a scene strip and the plate's sound. Blender writes to a temporary place beside the output; only a
complete result is renamed to its final name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import bpy

from .. import compat
from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import composite, render_job, shots
from .composite_nodes import LINEAR
from .delivery_output import Output
from .render_job import first_line

PICTURE, SOUND = "Mien Picture", "Mien Sound"
FORMATS = (
    ("H264", "H.264 (mp4)", "H.264 with AAC sound"),
    ("REVIEW", "H.264 Review (mp4)", "H.264 with the shot's name and the frame number burnt into the picture"),
    ("PRORES", "ProRes (mov)", "ProRes 422 HQ, or 4444 for plates of more than 8 bits or with alpha, with uncompressed sound"),
    ("PRORES4444", "ProRes 4444 (mov)", "ProRes 4444 for any plate, with uncompressed sound"),
    ("PNG", "PNG sequence", "Pictures of the plate's own depth; what was not edited is the plate, bit for bit"),
    ("EXR", "OpenEXR sequence", "Scene-linear pictures"),
)
SUFFIXES = {"H264": (".mp4", ".mov", ".m4v"), "REVIEW": (".mp4", ".mov", ".m4v"), "PRORES": (".mov",), "PRORES4444": (".mov",),
            "PNG": (".png",), "EXR": (".exr",)}
"""Allowed suffixes of a format, the default first."""
MOVIES = ("H264", "REVIEW", "PRORES", "PRORES4444")
BURN_IN = 30
"""The burnt-in text's height is this part of the picture's."""
AUDIO_KBITS = 192
CHANNELS = {"MONO": "MONO", "STEREO": "STEREO", "SURROUND4": "SURROUND4", "SURROUND51": "SURROUND51", "SURROUND71": "SURROUND71"}
"""A sound's channels and the output's; anything else is delivered in stereo."""


def build_delivery(shot: Shot, handles: int = 0) -> bpy.types.Scene:
    """The sequencer scene of the shot: the composite (built as well) and, where the plate has sound, its sound, cut to the plate's length.

    `handles`: that many frames at each end lie beyond the cut; they stay in the strips, for a transition or a later trim, and are not
    rendered. Strips that the artist added stay. Raises MienError when the plate's file is missing or nothing is left between the handles.
    """
    plate = shot.plate
    if 2 * handles >= plate.frame_count:
        raise MienError(f"Handles of {handles} frames leave nothing of the {plate.frame_count} frames of {shot.folder.name}; choose fewer.")
    source = composite.shot_scene(shot, composite.COMPOSITE)
    composite.build_composite(source, shot)
    scene = composite.shot_scene(shot, composite.DELIVERY)
    composite.set_scene_output(scene, plate)
    scene.render.use_sequencer = True
    # Strips pass through the sequencer in the colour space that the composite is in: no conversion, no rounding.
    scene.sequencer_colorspace_settings.name = LINEAR
    scene.render.sequencer_gl_preview = "RENDERED"  # a preview of the composite, not of its empty 3D view
    strips = scene.sequence_editor_create().strips
    for name in (PICTURE, SOUND):
        if name in strips:
            strips.remove(strips[name])
    used = {s.channel for s in strips}
    first, last = plate.first_frame, plate.first_frame + plate.frame_count - 1
    picture = strips.new_scene(PICTURE, source, _free(used, 1), first)
    picture.scene_input = "CAMERA"
    picture.blend_type = "REPLACE"
    if plate.audio and plate.kind == "movie":
        _add_sound(strips, shot, _free(used | {picture.channel}, 2), first, last)
    scene.frame_start, scene.frame_end = first + handles, last - handles
    for strip in (strips[name] for name in (PICTURE, SOUND) if name in strips):
        strip.frame_final_start = scene.frame_start
        strip.frame_final_end = min(strip.frame_final_end, scene.frame_end + 1)
    composite.set_frame_in_range(scene)
    return scene


def _free(used: set[int], wanted: int) -> int:
    return next(c for c in range(wanted, 129) if c not in used)


def _add_sound(strips: bpy.types.bpy_prop_collection, shot: Shot, channel: int, first: int, last: int) -> None:
    path = shot.plate_path
    if not path.exists():
        raise MienError(f"The plate {path} is missing, and with it the sound; put it back or track the plate again.")
    try:
        strip = strips.new_sound(SOUND, shots.stored_path(path), channel, first)
    except RuntimeError as error:
        raise MienError(f"Blender cannot read the sound of {path} ({first_line(error)}); convert it to AAC or WAV first.") from error
    if strip.frame_final_end > last + 1:
        strip.frame_final_end = last + 1


def set_format(scene: bpy.types.Scene, shot: Shot, file_format: str, suffix: str) -> None:
    """Codec and depth of the output. Raises MienError for a size that the codec cannot hold."""
    plate, render = shot.plate, scene.render
    if file_format == "PNG":
        compat.set_still_output(scene, "PNG", "RGBA" if plate.alpha else "RGB", "16" if plate.bits > 8 else "8")
    elif file_format == "EXR":
        compat.set_still_output(scene, "OPEN_EXR", "RGBA" if plate.alpha else "RGB", "32" if plate.bits == 32 else "16")
        render.image_settings.exr_codec = "ZIP"
    if file_format not in MOVIES:
        return
    prores = file_format.startswith("PRORES")
    odd = plate.width % 2 or plate.height % 2
    if prores and plate.width % 2:
        raise MienError(f"Blender writes ProRes only with an even width, the plate is {plate.width} wide; deliver as H.264 or as a sequence.")
    compat.set_movie_output(scene, "RGB")
    ffmpeg = render.ffmpeg
    ffmpeg.format = "MPEG4" if suffix in (".mp4", ".m4v") else "QUICKTIME"
    if not prores:
        ffmpeg.codec = "H264"
        # 4:2:0 needs even sizes; without loss Blender writes 4:4:4, which takes any.
        ffmpeg.constant_rate_factor = "LOSSLESS" if odd else "PERC_LOSSLESS"
        ffmpeg.ffmpeg_preset = "GOOD"
    else:
        ffmpeg.codec = "PRORES"
        ffmpeg.ffmpeg_prores_profile = "4444" if file_format == "PRORES4444" or plate.alpha or plate.bits > 8 else "422_HQ"
        if plate.alpha:
            render.image_settings.color_mode = "RGBA"
    _set_audio(scene, prores)
    if file_format == "REVIEW":
        burn_in(render, shot)


def burn_in(render: bpy.types.RenderSettings, shot: Shot) -> None:
    """The shot's name and the frame number, written into the picture."""
    for name in (p.identifier for p in render.bl_rna.properties if p.identifier.startswith("use_stamp") and p.type == "BOOLEAN"):
        if name != "use_stamp":
            setattr(render, name, name in ("use_stamp_frame", "use_stamp_note", "use_stamp_labels"))
    render.use_stamp, render.stamp_note_text = True, shots.shot_name(shot.folder)
    render.stamp_font_size = max(8, shot.plate.height // BURN_IN)
    render.stamp_foreground, render.stamp_background = (1, 1, 1, 1), (0, 0, 0, 0.6)


def _set_audio(scene: bpy.types.Scene, uncompressed: bool) -> None:
    """Sound as in the plate: its sample rate and channels; no audio track for a plate without sound."""
    ffmpeg = scene.render.ffmpeg
    sounds = [s.sound for s in scene.sequence_editor.strips if s.type == "SOUND" and not s.mute and s.sound]
    if not sounds:
        ffmpeg.audio_codec = "NONE"
        return
    ffmpeg.audio_codec = "PCM" if uncompressed else "AAC"
    ffmpeg.audio_bitrate = AUDIO_KBITS
    sound = max(sounds, key=lambda s: s.samplerate)
    if sound.samplerate:
        ffmpeg.audio_mixrate = int(sound.samplerate)
    ffmpeg.audio_channels = CHANNELS.get(sound.channels, "STEREO")


def delivery_path(path: str | Path, file_format: str, shot: Shot) -> Path:
    """The output's name with a suffix that fits the format, and #### for a sequence. Empty: beside the shot folder."""
    suffixes = SUFFIXES[file_format]
    path = shots.absolute(str(path)) if str(path) else shot.folder.absolute().parent / shots.shot_name(shot.folder)
    if path.is_dir():
        path = path / shots.shot_name(shot.folder)
    known = {s for group in SUFFIXES.values() for s in group}
    if path.suffix.lower() not in suffixes:
        path = path.with_suffix(suffixes[0]) if path.suffix.lower() in known else path.with_name(path.name + suffixes[0])
    if file_format not in MOVIES and not composite.HASHES.search(path.name):
        path = path.with_name(f"{path.stem}.####{path.suffix}")
    return path


@contextlib.contextmanager
def delivery(shot: Shot, path: Path, file_format: str, handles: int = 0) -> Iterator[tuple[bpy.types.Scene, Output]]:
    """The delivery scene, set to render into a temporary place; leaves it set to the final one. Raises MienError before anything is rendered."""
    missing = composite.missing_report(shot)
    if missing:
        raise MienError(missing)
    scene = build_delivery(shot, handles)
    set_format(scene, shot, file_format, path.suffix.lower())
    source = composite.shot_scene(shot, composite.COMPOSITE)
    composite.set_linear(source, file_format == "EXR")
    output = Output.open(path, shot, scene.frame_start, scene.frame_end)
    scene.render.use_file_extension = scene.render.use_overwrite = True
    scene.render.use_placeholder = False
    scene.render.filepath = output.pattern
    try:
        yield scene, output
    except BaseException:
        output.discard()
        raise
    finally:
        scene.render.filepath = shots.stored_path(path)
        composite.set_linear(source, False)


def deliver(shot: Shot, path: Path, file_format: str, handles: int = 0) -> None:
    """Render the delivery and wait for it. Raises MienError; then nothing is left."""
    with delivery(shot, path, file_format, handles) as (scene, output):
        try:
            bpy.ops.render.render(animation=True, scene=scene.name)
        except RuntimeError as error:
            raise MienError(f"Blender could not write {path} ({first_line(error)}); check the folder's permissions and free space.") from error
        output.commit()


def warnings(shot: Shot) -> list[str]:
    """What a delivery through Blender cannot keep of this plate, one sentence each."""
    plate, told = shot.plate, []
    if plate.variable_rate:
        told.append(f"The plate's frame rate varies; Blender delivers {float(plate.rate):.4g} frames a second, 'mien edit' keeps the time stamps.")
    elif not compat.frame_rate_is_exact(*plate.fps):
        told.append(f"Blender can only come close to {plate.fps[0]}/{plate.fps[1]} frames a second; 'mien edit' keeps it exactly.")
    return told


class MIEN_OT_deliver(bpy.types.Operator):
    """Render the composited shot with the plate's own sound; Esc cancels"""

    bl_idname = "mien.deliver"
    bl_label = "Deliver"
    bl_options = {"REGISTER"}

    filepath: bpy.props.StringProperty(name="Output", description="Movie file, or name.####.png for a sequence; empty: beside the shot folder",
                                       subtype="FILE_PATH")
    format: bpy.props.EnumProperty(name="Format", description="What to deliver", items=FORMATS, default="H264")
    handles: bpy.props.IntProperty(name="Handles", description="Frames at each end of the shot that stay in the strips beyond the cut and are not "
                                                                "rendered", default=0, min=0, soft_max=48)
    render: bpy.props.BoolProperty(name="Render", description="Off: only build the delivery scene", default=True)
    folder: bpy.props.StringProperty(name="Shot", description="Shot folder; empty: that of the scene in view", subtype="DIR_PATH", options={"HIDDEN"})
    wait: bpy.props.BoolProperty(name="Wait", description="For scripts: return when the delivery is done, as always in background mode",
                                 options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if render_job.running() or bpy.app.is_job_running("RENDER"):
            cls.poll_message_set("A render is running: wait for it or press Esc")
            return False
        return composite.poll_shot(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath or not self.render:
            return self.execute(context)
        try:
            self.filepath = str(delivery_path("", self.format, composite.find_shot(context, self.folder)))
        except MienError as error:
            return self._fail(error)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            shot = composite.find_shot(context, self.folder)
            path = delivery_path(self.filepath, self.format, shot)
            if not self.render:
                scene = build_delivery(shot, self.handles)
                set_format(scene, shot, self.format, path.suffix.lower())
                scene.render.filepath = shots.stored_path(path)
                self.report({"INFO"}, f"The delivery is in the scene '{scene.name}'.")
                return {"FINISHED"}
            for text in warnings(shot):
                self.report({"WARNING"}, text)
            if not (bpy.app.background or self.wait):
                render_job.start(context.window or context.window_manager.windows[0], path,
                                 delivery(shot, path, self.format, self.handles))
                return {"FINISHED"}
            deliver(shot, path, self.format, self.handles)
        except MienError as error:
            return self._fail(error)
        self.report({"INFO"}, f"Delivered {path}.")
        return {"FINISHED"}

    def _fail(self, error: MienError) -> set[str]:
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}


class MIEN_OT_deliver_report(bpy.types.Operator):
    """Say how a delivery ended"""

    bl_idname = "mien.deliver_report"
    bl_label = "Delivery"
    bl_options = {"INTERNAL"}

    text: bpy.props.StringProperty(options={"SKIP_SAVE", "HIDDEN"})
    failed: bpy.props.BoolProperty(options={"SKIP_SAVE", "HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        self.report({"ERROR"} if self.failed else {"INFO"}, self.text)
        return {"CANCELLED"} if self.failed else {"FINISHED"}


def unregister() -> None:
    render_job.abandon()


CLASSES = (MIEN_OT_deliver, MIEN_OT_deliver_report)
