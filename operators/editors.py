# SPDX-License-Identifier: GPL-3.0-or-later
"""Which editor makes level 1 of a face: the recipes or the shape GAN. The mesh in the viewport, hand-over and bake all ask here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..mesh.editor import ShapeEditor, shot_editor
from ..mesh.model import FaceModel
from ..mesh.shot import Shot
from . import shots

EDITOR_ITEMS = (
    ("analytic", "Recipes (FACS)", "Actions of the face's muscles, as the Facial Action Coding System lists them for each emotion"),
    ("gan", "Shape GAN", "A network trained on performances, the actor's own where there is one"),
)


def face_editor(face: bpy.types.Object, model: FaceModel, shot: Shot) -> ShapeEditor:
    """The editor chosen for the face. Raises MienError when its weights are missing or made for another model."""
    return shot_editor(face.mien.editor, model, shot.folder, actor_folder(face) or "")


def editor_settings(face: bpy.types.Object) -> dict[str, Any]:
    """The same choice as settings of the engine's edit."""
    settings: dict[str, Any] = {"editor": face.mien.editor}
    actor = actor_folder(face)
    return {**settings, "actor": str(actor)} if actor and face.mien.editor == "gan" else settings


def actor_folder(face: bpy.types.Object) -> Path | None:
    """The face's own choice; None: the shot's actor/, or the shipped weights."""
    return shots.absolute(face.mien.actor) if face.mien.actor else None


CLASSES = ()
