# SPDX-License-Identifier: GPL-3.0-or-later
"""Plate: choose the footage, and with it where the shot folder goes: beside the .blend, as NAME.mien."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import bpy

from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import paths, shot_items, shots

MOVIES = frozenset((".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mxf", ".mpg", ".mpeg", ".mts", ".m2ts", ".ogv", ".wmv", ".flv", ".3gp"))
STILLS = frozenset((".png", ".tif", ".tiff", ".jpg", ".jpeg", ".exr", ".dpx"))
NUMBER = re.compile(r"(\d+)(?=\D*$)")
"""The frame number in the name of a picture: its last run of digits."""
HASHES = re.compile("#+")
SAVE_FIRST = "Save the .blend file first (File > Save): Mien keeps a shot's data beside it"


def as_plate(path: Path) -> Path:
    """A picked file as the engine takes it: a movie as it is, one picture of a sequence as `name.####.ext`.

    Raises MienError when it does not exist or is no footage.
    """
    suffix = path.suffix.lower()
    if "#" in path.name and not path.exists():
        return path
    if not path.is_file():
        raise MienError(f"The plate {path} is missing; choose an existing movie or picture.")
    if suffix not in MOVIES | STILLS:
        raise MienError(f"{path} is no movie or picture that Mien reads; choose one of {', '.join(sorted(MOVIES | STILLS))}.")
    number = NUMBER.search(path.stem) if suffix in STILLS else None
    return path.with_name(path.stem[:number.start()] + "#" * len(number.group()) + path.stem[number.end():] + path.suffix) if number else path


def plate_name(plate: Path) -> str:
    """The shot's name: the file's, without frame number."""
    return plate.stem.replace("#", "").rstrip("._- ") or plate.parent.name or "shot"


def folder_for(plate: Path, beside: Path) -> Path:
    """NAME.mien in the folder `beside`: the one that already is this plate's, else the first of NAME.mien, NAME-2.mien ... that is free."""
    name, number = plate_name(plate), 1
    while True:
        folder = beside / (f"{name}.mien" if number == 1 else f"{name}-{number}.mien")
        if not (folder / "shot.json").exists():
            return folder
        try:
            if Shot.load(folder).plate_path.resolve() == plate.resolve():
                return folder
        except MienError:
            pass  # not readable by this version: leave it alone
        number += 1


def find_plate_again(settings: bpy.types.PropertyGroup, plate: Path) -> Path | None:
    """The shot folder in use, when its plate was moved: it is gone from its place and the chosen file has its name."""
    folder = shots.absolute(settings.shot_folder) if settings.shot_folder else None
    if folder is None or not (folder / "shot.json").exists():
        return None
    shot = Shot.load(folder)
    before = shot.plate_path
    if before.name != plate.name or (before.parent.is_dir() and any(before.parent.glob(HASHES.sub("*", before.name)))):
        return None
    shot.plate = replace(shot.plate, path=shot.relative_plate(plate))
    shot.save()
    return folder


def choose_plate(scene: bpy.types.Scene, path: Path) -> Path:
    """Make the footage the scene's shot; returns its shot folder, which the tracking will make. Raises MienError."""
    if not bpy.data.filepath:
        raise MienError(SAVE_FIRST + ".")
    plate = as_plate(path.absolute())
    settings = scene.mien
    folder = find_plate_again(settings, plate) or folder_for(plate, Path(bpy.data.filepath).parent)
    if not settings.shot_folder or shots.absolute(settings.shot_folder) != folder:
        settings.face = None
    shot_items.take(scene, shots.stored_path(folder), shots.stored_path(plate))
    shots.forget()
    shot_items.enlist(scene)
    return folder


def poll_saved(cls: type[bpy.types.Operator]) -> bool:
    """For polls: False, with the reason, while the .blend has no place on disk."""
    if not bpy.data.filepath:
        cls.poll_message_set(SAVE_FIRST)
    return bool(bpy.data.filepath)


class MIEN_OT_choose_plate(bpy.types.Operator):
    """Choose the footage: a movie, or any one picture of a numbered sequence"""

    bl_idname = "mien.choose_plate"
    bl_label = "Choose Plate"
    bl_options = {"REGISTER", "UNDO"}

    filepath: bpy.props.StringProperty(name="Plate", description="Movie, or one picture of a numbered sequence", subtype="FILE_PATH",
                                      options={"SKIP_SAVE"})
    filter_movie: bpy.props.BoolProperty(default=True, options={"HIDDEN"})
    filter_image: bpy.props.BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_saved(cls)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.properties.is_property_set("filepath") and self.filepath:  # dropped into the viewport
            return self.execute(context)
        self.filepath = os.path.join(os.path.dirname(bpy.data.filepath), "")  # else the browser offers the .blend's own name
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            folder = choose_plate(context.scene, shots.absolute(self.filepath))
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        shot_items.let_go(context)
        self.report({"INFO"}, f"The shot's data goes to {folder.name}; press Track and Solve next.")
        return {"FINISHED"}


class MIEN_OT_open_shot(bpy.types.Operator):
    """Go on with a shot that was tracked before, here or on the command line: choose its folder NAME.mien"""

    bl_idname = "mien.open_shot"
    bl_label = "Open Shot Folder"
    bl_options = {"REGISTER", "UNDO"}

    directory: bpy.props.StringProperty(name="Shot Folder", description="The folder NAME.mien", subtype="DIR_PATH")
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            shot = Shot.load(shots.absolute(self.directory))
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        shots.forget()
        found = paths.find_again(shot.folder, shots.shot_info(shots.absolute(str(shot.folder))).solve_hash)
        face = next((face for face in found if context.scene.objects.get(face.name) == face), None)
        shot_items.take(context.scene, shots.stored_path(shot.folder), shots.stored_path(shot.plate_path))
        context.scene.mien.face = face
        shots.forget()
        shot_items.enlist(context.scene)
        shot_items.enlist_others(context.scene, list(shot.face_folders().values()))
        shot_items.let_go(context)
        self.report({"INFO"}, f"The shot {shots.shot_name(shot.folder)} has {shot.plate.frame_count} frames.")
        return {"FINISHED"}


class MIEN_FH_plate(bpy.types.FileHandler):
    """A movie dropped into the 3D viewport becomes the plate."""

    bl_idname = "MIEN_FH_plate"
    bl_label = "Mien Plate"
    bl_import_operator = "mien.choose_plate"
    bl_file_extensions = ";".join(sorted(MOVIES))

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


CLASSES = (MIEN_OT_choose_plate, MIEN_OT_open_shot, MIEN_FH_plate)
