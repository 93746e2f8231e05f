# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar "Mien": one panel a step of a shot, each with its state and its next action. Draws, decides nothing."""

import bpy

from ..mesh.emotion import EMOTIONS
from ..operators import compare, engine, live, result, shots, show_scene
from .common import DONE, OPEN, PROBLEM, STALE, Step, current, draw_next, text


class MIEN_PT_main(bpy.types.Panel):
    bl_label = "Mien"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Mien"

    def draw(self, context: bpy.types.Context) -> None:
        layout, info, state = self.layout, current(context), engine.STATE
        if info is not None and info.shot is not None:
            plate = info.shot.plate
            text(layout, context, f"{shots.shot_name(info.folder)}: {plate.width}x{plate.height}, {float(plate.rate):.6g} fps, "
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
            layout.operator("preferences.addon_show", text="Set Up the Engine...", icon="PREFERENCES").module = engine.PACKAGE
        if show_scene.stage_of(context.scene) != "shot":
            layout.operator("mien.show_scene", text="Back to the Shot", icon="LOOP_BACK").stage = "shot"
        draw_next(layout, context)

    def draw_error(self, context: bpy.types.Context) -> None:
        state = engine.STATE
        box = self.layout.box()
        text(box, context, f"{state.title}: {state.error}", PROBLEM)
        row = box.row(align=True)
        row.operator("mien.copy_error", icon="COPYDOWN")
        if state.log:
            row.operator("wm.path_open", text="Log", icon="TEXT").filepath = state.log
        row.operator("mien.dismiss_error", text="", icon="X")


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
        in_shot = show_scene.stage_of(context.scene) == "shot"  # in its composite's scene nothing of the face is seen
        return in_shot and (cls.bl_space_type == "VIEW_3D" or shots.active_face(context) is not None)

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
        layout.operator("mien.sound", icon="SOUND")
        column = layout.column(align=True)
        column.use_property_decorate = False
        column.prop(face.mien, "editor")
        if face.mien.editor == "gan":
            column.prop(face.mien, "actor")
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
        filmed, row = compare.shown(face), layout.row(align=True)
        for mode, label, _ in compare.MODES:
            row.operator("mien.compare", text=label, depress=filmed == mode).mode = mode
        layout.operator("mien.difference", icon="COLOR", depress=face.mien.difference)
        if face.mien.difference and shown == "live":
            layout.prop(face.mien, "difference_range")
        problem = live.live_shot(face) if shown == "live" else ""
        if isinstance(problem, str) and problem:
            text(layout, context, f"No live edit: {problem}", PROBLEM)
        preview = result.running()
        layout.operator("mien.result_preview", icon="RENDER_RESULT", depress=preview is not None)
        if preview is not None and preview.problem:
            text(layout, context, preview.problem, PROBLEM)


class MIEN_PT_emotion(EmotionPanel, Step, bpy.types.Panel):
    bl_parent_id = "MIEN_PT_main"
    bl_order = 40

    def state(self, context: bpy.types.Context) -> str:
        face = shots.active_face(context)
        return OPEN if face is None or shots.at_rest(face) else DONE


class MIEN_PT_emotion_graph(EmotionPanel, bpy.types.Panel):
    bl_space_type = "GRAPH_EDITOR"


class MIEN_PT_emotion_dopesheet(EmotionPanel, bpy.types.Panel):
    bl_space_type = "DOPESHEET_EDITOR"


CLASSES = (MIEN_MT_presets, MIEN_PT_main, MIEN_PT_emotion, MIEN_PT_emotion_graph, MIEN_PT_emotion_dopesheet)
