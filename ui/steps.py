# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's panels from the plate to the bake. They draw and decide nothing."""

import bpy

from ..operators import bake_state, shots, track
from .common import DONE, OPEN, PROBLEM, STALE, Step, current, running, text


class MIEN_PT_plate(Step, bpy.types.Panel):
    bl_label = "Plate"
    bl_parent_id = "MIEN_PT_main"
    bl_order = 10

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
            column.operator("mien.open_shot", icon="FILE_FOLDER", text="Open Shot Folder...")


def fit_word(reprojection: float) -> str:
    """What the median distance of the fit from the landmarks, in parts of the eye distance, is worth."""
    return "good" if reprojection < 0.02 else "fair" if reprojection < 0.04 else "poor, look at the mesh over the plate"


class MIEN_PT_track(Step, bpy.types.Panel):
    bl_label = "Track and Solve"
    jobs = ("Track and Solve", "Solve", "Add Model")
    bl_parent_id = "MIEN_PT_main"
    bl_order = 20

    def state(self, context: bpy.types.Context) -> str:
        info = current(context)
        if info is None or not info.is_solved:
            return OPEN
        return STALE if track.out_of_date(context.scene, info) else DONE

    def draw(self, context: bpy.types.Context) -> None:
        layout, info, settings = self.layout, current(context), context.scene.mien
        layout.use_property_split, layout.use_property_decorate = True, False
        solved = info is not None and info.is_solved
        if solved:
            self.draw_result(context, info)
        column = layout.column(align=True)
        row = column.row(align=True)
        row.prop(settings, "model", text="Model", placeholder=track.default_model())
        row.operator("mien.add_model", text="", icon="ADD")
        column.prop(settings, "focal_mm", text="Focal (0: find)")
        column.prop(settings, "face_number", text="Face (0: main)")
        if any(running(layout, title) for title in self.jobs):
            return
        reason = track.out_of_date(context.scene, info) if solved else ""
        if reason:
            text(layout, context, f"Out of date: {reason}.", STALE)
        column = layout.column(align=True)
        column.operator("mien.track", icon="TRACKER", text="Track Again" if solved else "Track and Solve")
        if solved:
            column.operator("mien.solve", icon="FILE_REFRESH")

    def draw_result(self, context: bpy.types.Context, info: shots.ShotInfo) -> None:
        layout = self.layout
        count = info.shot.plate.frame_count if info.shot else info.solved
        text(layout, context, f"{info.solved} of {count} frames solved. The fit is {fit_word(info.reprojection)}: {info.reprojection:.1%} of the eye "
                              f"distance off the landmarks. Lens {info.focal_mm:.0f} mm.")
        words, wrong = track.actor_words(info)
        if words:
            text(layout, context, words, PROBLEM if wrong else "COMMUNITY")
        if info.faces > 1:
            text(layout, context, f"Up to {info.faces} faces were seen; face {info.shot.face if info.shot else 0} is followed.", "INFO")
        if info.lost:
            text(layout, context, f"No face on frames {info.lost}: they stay as filmed.", "INFO")
        if info.cuts:
            text(layout, context, f"Cuts at frames {', '.join(map(str, info.cuts))}.", "INFO")


class MIEN_PT_face(Step, bpy.types.Panel):
    bl_label = "Face"
    bl_parent_id = "MIEN_PT_main"
    bl_order = 30

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
        layout.operator("mien.import_face", icon="IMPORT", text="Import Again" if face else "Import Face")


class MIEN_PT_bake(Step, bpy.types.Panel):
    bl_label = "Bake"
    jobs = ("Bake",)
    bl_parent_id = "MIEN_PT_main"
    bl_order = 50

    def state(self, context: bpy.types.Context) -> str:
        baked = bake_state.bake_state(shots.active_face(context), current(context))
        if baked is None or baked.count(bake_state.MISSING) == len(baked.frames):
            return OPEN
        return DONE if baked.count(bake_state.FRESH) == len(baked.frames) else STALE

    def draw(self, context: bpy.types.Context) -> None:
        layout, face, info = self.layout, shots.active_face(context), current(context)
        layout.use_property_split, layout.use_property_decorate = True, False
        if face is not None:
            layout.prop(face.mien, "glasses")
            layout.prop(face.mien, "texture")
            if face.mien.texture != "off":
                layout.prop(face.mien, "texture_strength")
                if face.mien.actor:
                    layout.prop(face.mien, "texture_borrow")
            layout.prop(face.mien, "teeth")
            if face.mien.teeth == "fill":
                layout.prop(face.mien, "teeth_amount")
                row = layout.row(heading="Lock to Frame", align=True)
                row.prop(face.mien, "teeth_locked", text="")
                sub = row.row()
                sub.active = face.mien.teeth_locked
                sub.prop(face.mien, "teeth_frame", text="")
        baked = bake_state.bake_state(face, info)
        if baked is not None and baked.count(bake_state.MISSING) < len(baked.frames):
            fresh = baked.count(bake_state.FRESH)
            layout.progress(factor=fresh / len(baked.frames), text=f"{fresh} of {len(baked.frames)} frames")
            if fresh < len(baked.frames):
                text(layout, context, baked.text + ".", STALE)
        if info is not None and (info.baked or len(info.versions) > 1):
            row = layout.row(align=True)
            row.operator_menu_enum("mien.use_bake_version", "version", text=f"Version v{info.shot.bake_version:03d}", icon="DOCUMENTS")
            row.operator("mien.new_bake_version", text="", icon="ADD")
        if not running(layout, "Bake"):
            layout.operator("mien.bake", icon="RENDER_ANIMATION")


CLASSES = (MIEN_PT_plate, MIEN_PT_track, MIEN_PT_face, MIEN_PT_bake)
