# SPDX-License-Identifier: GPL-3.0-or-later
"""What all panels of the sidebar share: a step's state, wrapped sentences, the progress of a job."""

import textwrap

import bpy

from ..operators import bake_state, engine, render_job, shots, show_scene, track

OPEN, DONE, STALE, PROBLEM = "RADIOBUT_OFF", "CHECKMARK", "FILE_REFRESH", "ERROR"
"""Icons of a step's state."""
NEXT_HEIGHT = 1.4
"""Of the next action's button, and of the progress that takes its place, in rows."""
WORDS = {OPEN: "to do", DONE: "done", STALE: "out of date", PROBLEM: "problem"}


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


def running(layout: bpy.types.UILayout, title: str, scale: float = 1.0) -> bool:
    """Draw the progress of the job of that title in the place of its button; False when it is not running."""
    state = engine.STATE
    if not (state.running and state.title == title):
        return False
    row = layout.row(align=True)
    row.scale_y = scale
    row.progress(factor=state.fraction, text=state.text + (f" ({state.step} of {state.steps})" if state.steps > 1 else ""))
    row.operator("mien.cancel_job", text="", icon="CANCEL")
    return True


class Step:
    """What the panels of the sidebar share. `state` gives the icon of the panel's header, and with it the word at the header's right."""

    jobs: tuple[str, ...] = ()
    """Titles of the jobs that belong to the step."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Mien"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return show_scene.stage_of(context.scene) == "shot"

    def state(self, context: bpy.types.Context) -> str:
        return "NONE"

    def draw_header(self, context: bpy.types.Context) -> None:
        icon = self.state(context)
        if icon != "NONE":
            self.layout.label(text="", icon=icon)

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        row = self.layout.row()
        row.active = False
        row.label(text=self.word(context))

    def word(self, context: bpy.types.Context) -> str:
        """How far the step is, at the right of its panel's header."""
        job = engine.STATE
        return f"{job.fraction:.0%}" if job.running and job.title in self.jobs else WORDS.get(self.state(context), "")


def next_action(context: bpy.types.Context) -> tuple[str, str, str]:
    """(operator, text, icon) of the step that the shot in use waits for; no operator: what to do by hand."""
    info, face = current(context), shots.active_face(context)
    if info is None:
        if not bpy.data.filepath:
            return "wm.save_as_mainfile", "Save the .blend...", "FILE_TICK"
        return "mien.choose_plate", "Choose a Plate...", "FILEBROWSER"
    if show_scene.stage_of(context.scene) != "shot":
        return after_bake(context, info)
    if not info.is_solved or track.out_of_date(context.scene, info):
        return "mien.track", "Track and Solve", "TRACKER"
    if face is None or shots.face_stale(face, info):
        return "mien.import_face", "Import Face" if face is None else "Import Again", "IMPORT"
    if shots.at_rest(face):
        return "", "Next: key an emotion below", "KEYFRAME"
    baked = bake_state.bake_state(face, info)
    if baked is None or baked.count(bake_state.FRESH) < len(baked.frames):
        return "mien.bake", "Bake", "RENDER_ANIMATION"
    return after_bake(context, info)


def after_bake(context: bpy.types.Context, info: shots.ShotInfo) -> tuple[str, str, str]:
    """As `next_action`, of a shot that is baked."""
    if shots.stage_scene(context, "composite") is None:
        return "mien.composite", "Build Composite", "NODE_COMPOSITING"
    if shots.stage_scene(context, "delivery") is None:
        return "mien.deliver", "Deliver...", "SEQUENCE"
    return "", f"{shots.shot_name(info.folder)} is delivered", DONE


def draw_next(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The next action of the shot in use, as a button; while a job runs, its progress."""
    if engine.STATE.running:
        running(layout, engine.STATE.title, NEXT_HEIGHT)
        return
    delivery = render_job.told()
    if delivery is not None:
        row = layout.row()
        row.scale_y = NEXT_HEIGHT
        row.progress(factor=delivery[0], text=f"Delivering {delivery[0]:.0%}, Esc stops")
        return
    face, info = shots.active_face(context), current(context)
    if face is not None and info is not None and info.shot is None and not info.problem:
        text(layout, context, f"{info.folder.name} is not in {info.folder.parent}: put it back, or show where it is now.", PROBLEM)
        layout.operator("mien.open_shot", icon="FILE_FOLDER", text="Open Shot Folder...")
        return
    operator, label, icon = next_action(context)
    row = layout.row()
    row.operator_context = "INVOKE_DEFAULT"
    if operator:
        row.scale_y = NEXT_HEIGHT
        row.operator(operator, text=f"Next: {label}", icon=icon)
    elif label:
        row.label(text=label, icon=icon)
