# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar "Mien": one panel a step of a shot, each with its state and its next action. Draws, decides nothing."""

import textwrap

import bpy

from ..mesh.emotion import EMOTIONS
from ..operators import engine, live, shots

OPEN, DONE, STALE, PROBLEM = "RADIOBUT_OFF", "CHECKMARK", "FILE_REFRESH", "ERROR"
"""Icons of a step's state."""


def text(layout: bpy.types.UILayout, context: bpy.types.Context, words: str, icon: str = "NONE") -> None:
    """A sentence, wrapped to the width of the sidebar."""
    scale = context.preferences.system.ui_scale or 1.0  # 0 without a window
    width = max(20, int((context.region.width / scale - 50) / 6.3))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for i, line in enumerate(textwrap.wrap(words, width - (4 if icon != "NONE" else 0)) or [""]):
        column.label(text=line, icon=icon if i == 0 else "BLANK1" if icon != "NONE" else "NONE")


def current(context: bpy.types.Context) -> shots.ShotInfo | None:
    """What is known of the shot in use."""
    folder = shots.shot_folder(context)
    return shots.shot_info(folder) if folder else None


def running(layout: bpy.types.UILayout, title: str) -> bool:
    """Draw the progress of the job of that title in the place of its button; False when it is not running."""
    state = engine.STATE
    if not (state.running and state.title == title):
        return False
    row = layout.row(align=True)
    row.progress(factor=state.fraction, text=state.text + (f" ({state.step} of {state.steps})" if state.steps > 1 else ""))
    row.operator("mien.cancel_job", text="", icon="CANCEL")
    return True


def has_operator(name: str) -> bool:
    return hasattr(bpy.types, f"MIEN_OT_{name}")


class Step:
    """What the panels of the sidebar share. `state` gives the icon of the panel's header."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Mien"

    def state(self, context: bpy.types.Context) -> str:
        return "NONE"

    def draw_header(self, context: bpy.types.Context) -> None:
        self.layout.label(text="", icon=self.state(context))


class MIEN_PT_main(bpy.types.Panel):
    bl_label = "Mien"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Mien"

    def draw(self, context: bpy.types.Context) -> None:
        layout, info, state = self.layout, current(context), engine.STATE
        if info is not None and info.shot is not None:
            plate = info.shot.plate
            text(layout, context, f"{shots.shot_name(info.folder)}: {plate.width} x {plate.height}, {float(plate.rate):.6g} fps, "
                                  f"frames {plate.first_frame}-{plate.first_frame + plate.frame_count - 1}", "FILE_MOVIE")
        if info is not None and info.problem:
            text(layout, context, info.problem, PROBLEM)
        if state.error:
            self.draw_error(context)
        for warning in state.warnings:
            text(layout, context, warning, "INFO")
        if state.warnings and not state.error:
            layout.operator("mien.dismiss_error", text="Dismiss")
        if engine.engine_python(context) is None:
            text(layout, context, "No engine: tracking and baking need one.", "INFO")
            layout.operator("preferences.addon_show", text="Set Engine Python...").module = engine.PACKAGE

    def draw_error(self, context: bpy.types.Context) -> None:
        state = engine.STATE
        box = self.layout.box()
        text(box, context, f"{state.title}: {state.error}", PROBLEM)
        row = box.row(align=True)
        row.operator("mien.copy_error", icon="COPYDOWN")
        if state.log:
            row.operator("wm.path_open", text="Log", icon="TEXT").filepath = state.log
        row.operator("mien.dismiss_error", text="", icon="X")


class MIEN_PT_plate(Step, bpy.types.Panel):
    bl_label = "Plate"
    bl_parent_id = "MIEN_PT_main"

    def state(self, context: bpy.types.Context) -> str:
        return DONE if context.scene.mien.plate else OPEN

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.mien
        if not bpy.data.filepath:
            text(layout, context, "Save the .blend file first: the shot's data is kept beside it.", "INFO")
            layout.operator_context = "INVOKE_DEFAULT"
            layout.operator("wm.save_as_mainfile", text="Save .blend...", icon="FILE_TICK")
        if settings.plate:
            layout.label(text=bpy.path.basename(settings.plate), icon="FILE_MOVIE")
        column = layout.column(align=True)
        column.operator("mien.choose_plate", icon="FILEBROWSER", text="Change Plate..." if settings.plate else "Choose Plate...")
        if not settings.plate:
            column.operator("mien.open_shot", icon="FILE_FOLDER")


class MIEN_PT_track(Step, bpy.types.Panel):
    bl_label = "Track and Solve"
    bl_parent_id = "MIEN_PT_main"

    def state(self, context: bpy.types.Context) -> str:
        info = current(context)
        if info is None or not info.is_solved:
            return OPEN
        return STALE if shots.plate_changed(context.scene, info) else DONE

    def draw(self, context: bpy.types.Context) -> None:
        layout, info, settings = self.layout, current(context), context.scene.mien
        layout.use_property_split, layout.use_property_decorate = True, False
        solved = info is not None and info.is_solved
        if solved:
            self.draw_result(context, info)
        column = layout.column(align=True)
        column.prop(settings, "focal_mm", text="Focal (0: find)")
        column.prop(settings, "face_number", text="Face")
        if running(layout, "Track and Solve") or running(layout, "Solve"):
            return
        if solved and shots.plate_changed(context.scene, info):
            text(layout, context, "Out of date: another plate was chosen since.", STALE)
        column = layout.column(align=True)
        column.operator("mien.track", icon="TRACKER", text="Track Again" if solved else "Track and Solve")
        if solved:
            column.operator("mien.solve", icon="FILE_REFRESH")

    def draw_result(self, context: bpy.types.Context, info: shots.ShotInfo) -> None:
        layout = self.layout
        count = info.shot.plate.frame_count if info.shot else info.solved
        text(layout, context, f"{info.solved} of {count} frames solved, error {info.reprojection:.1%} of the eye distance, "
                              f"lens {info.focal_mm:.0f} mm.")
        if info.faces > 1:
            text(layout, context, f"Up to {info.faces} faces were seen; face {info.shot.face if info.shot else 0} is followed.", "INFO")
        if info.lost:
            text(layout, context, f"No face on frames {info.lost}: they stay as filmed.", "INFO")
        if info.cuts:
            text(layout, context, f"Cuts at frames {', '.join(map(str, info.cuts))}.", "INFO")


class MIEN_PT_face(Step, bpy.types.Panel):
    bl_label = "Face"
    bl_parent_id = "MIEN_PT_main"

    def state(self, context: bpy.types.Context) -> str:
        face, info = shots.active_face(context), current(context)
        if face is None:
            return OPEN
        return STALE if shots.face_stale(face, info) else DONE

    def draw(self, context: bpy.types.Context) -> None:
        layout, face = self.layout, shots.active_face(context)
        if face is not None:
            layout.label(text=face.name, icon="OUTLINER_OB_MESH")
            if shots.face_stale(face, current(context)):
                text(layout, context, "Out of date: the shot was solved again since.", STALE)
        others = shots.faces(context.scene)
        if len(others) > 1:
            column = layout.column(align=True)
            for other in others:
                active = other == face
                column.operator("mien.use_face", text=other.name, icon=DONE if active else "BLANK1", depress=active).face = other.name
        layout.operator("mien.import_face", icon="IMPORT", text="Import Again" if face else "Import Face")


class MIEN_MT_presets(bpy.types.Menu):
    """Emotions as keys at the playhead"""

    bl_label = "Key a Preset"

    def draw(self, context: bpy.types.Context) -> None:
        layout, face = self.layout, shots.active_face(context)
        layout.operator_menu_enum("mien.key_preset", "emotion", text="Comes and Goes from This Frame")
        layout.operator_menu_enum("mien.key_pose", "emotion", text="Full on This Frame").value = 1.0
        layout.operator_menu_enum("mien.key_pose", "emotion", text="At Rest on This Frame").value = 0.0
        for other in (other for other in shots.faces(context.scene) if other != face):
            layout.operator("mien.copy_emotion", text=f"Copy All from {other.name}", icon="PASTEDOWN").source = other.name


class EmotionPanel:
    """The sliders, in every editor where curves are worked on."""

    bl_label = "Emotion"
    bl_region_type = "UI"
    bl_category = "Mien"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return shots.active_face(context) is not None or cls.bl_space_type == "VIEW_3D"

    def draw(self, context: bpy.types.Context) -> None:
        layout, face = self.layout, shots.active_face(context)
        layout.use_property_split, layout.use_property_decorate = True, True
        if face is None:
            text(layout, context, "Import a face to key its emotions.", "INFO")
            return
        column = layout.column(align=True)
        for name in EMOTIONS:
            column.prop(face.mien, name, slider=True)
        column = layout.column(align=True)
        for name in ("master", "neutralise", "mouth"):
            column.prop(face.mien, name, slider=True)
        row = layout.row(align=True)
        row.operator("mien.key_emotion", icon="KEYFRAME_HLT")
        row.operator("mien.reset_emotion", icon="LOOP_BACK")
        layout.menu("MIEN_MT_presets", icon="PRESET")
        self.draw_mesh(context, face)

    def draw_mesh(self, context: bpy.types.Context, face: bpy.types.Object) -> None:
        layout, shown = self.layout, shots.shown(face)
        layout.label(text="Mesh in the Viewport")
        column = layout.column(align=True)
        row = column.row(align=True)
        row.operator("mien.show_performance", text="As Filmed", depress=shown == "filmed").edited = False
        row.operator("mien.live_edit", text="Live Edit", depress=shown == "live")
        column.operator("mien.show_performance", text="Bake to Curves Again" if shown == "stale" else "Bake to Curves", icon="FCURVE",
                        depress=shown == "edited").edited = True
        if shown == "stale":
            text(layout, context, "The mesh shows older controls.", STALE)
        layout.operator("mien.difference", icon="COLOR", depress=face.mien.difference)
        if face.mien.difference and shown == "live":
            layout.prop(face.mien, "difference_range")
            red = face.mien.difference_range
            text(layout, context, f"Dark blue: 0 mm, green: {red / 2:.1f} mm, red: {red:.1f} mm or more.")
        problem = live.live_shot(face) if shown == "live" else ""
        if isinstance(problem, str) and problem:
            text(layout, context, f"No live edit: {problem}", PROBLEM)


class MIEN_PT_emotion(EmotionPanel, Step, bpy.types.Panel):
    bl_parent_id = "MIEN_PT_main"

    def state(self, context: bpy.types.Context) -> str:
        face = shots.active_face(context)
        return OPEN if face is None or shots.at_rest(face) else DONE


class MIEN_PT_emotion_graph(EmotionPanel, bpy.types.Panel):
    bl_space_type = "GRAPH_EDITOR"


class MIEN_PT_emotion_dopesheet(EmotionPanel, bpy.types.Panel):
    bl_space_type = "DOPESHEET_EDITOR"


class MIEN_PT_bake(Step, bpy.types.Panel):
    bl_label = "Bake"
    bl_parent_id = "MIEN_PT_main"

    def state(self, context: bpy.types.Context) -> str:
        face, info = shots.active_face(context), current(context)
        if face is None or info is None or not info.baked:
            return OPEN
        return STALE if shots.bake_stale(face, info) else DONE

    def draw(self, context: bpy.types.Context) -> None:
        layout, face, info = self.layout, shots.active_face(context), current(context)
        layout.use_property_split, layout.use_property_decorate = True, False
        if face is not None:
            layout.prop(face.mien, "glasses")
        if running(layout, "Bake"):
            return
        if face is not None and info is not None and info.shot is not None and info.baked:
            stale = shots.bake_stale(face, info)
            total = info.shot.plate.frame_count
            text(layout, context, f"{info.baked} of {total} frames baked" + (f"; {stale}." if stale else ", up to date."), STALE if stale else "NONE")
        layout.operator("mien.bake", icon="RENDER_ANIMATION")


class MIEN_PT_composite(Step, bpy.types.Panel):
    bl_label = "Composite"
    bl_parent_id = "MIEN_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return has_operator("composite")

    def state(self, context: bpy.types.Context) -> str:
        return DONE if shots.stage_scene(context, "composite") else OPEN

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, shots.stage_scene(context, "composite")
        if scene is not None:
            layout.label(text=f"In the scene {scene.name}", icon="SCENE_DATA")
        layout.operator("mien.composite", icon="NODE_COMPOSITING", text="Update Composite" if scene else "Build Composite")


class MIEN_PT_deliver(Step, bpy.types.Panel):
    bl_label = "Deliver"
    bl_parent_id = "MIEN_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return has_operator("deliver")

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, shots.stage_scene(context, "delivery")
        if scene is not None:
            layout.label(text=f"In the scene {scene.name}", icon="SCENE_DATA")
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("mien.deliver", icon="SEQUENCE")

    def state(self, context: bpy.types.Context) -> str:
        return DONE if shots.stage_scene(context, "delivery") else OPEN


CLASSES = (MIEN_MT_presets, MIEN_PT_main, MIEN_PT_plate, MIEN_PT_track, MIEN_PT_face, MIEN_PT_emotion, MIEN_PT_bake, MIEN_PT_composite,
           MIEN_PT_deliver, MIEN_PT_emotion_graph, MIEN_PT_emotion_dopesheet)
