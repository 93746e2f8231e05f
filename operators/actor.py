# SPDX-License-Identifier: GPL-3.0-or-later
"""Actor: train the networks and models of one actor from takes, look at the pictures of a training under way, stop it and go on later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..mesh.errors import MienError
from . import shots
from .engine import JobOperator, poll_engine

KIND_ITEMS = (
    ("texture", "Skin", "The eigen model of the skin, and the directions of the emotions where takes are labelled; takes seconds"),
    ("mouth", "Mouth", "The inside of the mouth from takes that show it; takes seconds"),
    ("shape", "Shape", "Level 1: the network that moves the face, from labelled takes; takes hours on a processor"),
    ("stylegan", "Skin, StyleGAN", "The skin as the paper has it, by StyleGAN2 and an encoder; takes hours on a GPU"))
SIZE_ITEMS = tuple((str(n), f"{n}", f"Textures of {n} x {n} pixels") for n in (64, 128, 256, 512, 1024))
PREVIEW = "Mien Training Preview"
"""Name of the image that shows what a network makes so far."""
SHAPE_WEIGHTS = "generator.safetensors"
"""What an edit needs of a shape training; it is written with every checkpoint."""
CHECKPOINTS = {"stylegan": "stylegan/checkpoint.safetensors", "shape": "checkpoint.safetensors"}
"""Of the trainings that go on where they stopped: the file in the actor folder that tells that there is one."""


def train_job(scene: bpy.types.Scene, shot: Path | None) -> tuple[str, dict[str, Any]]:
    """(job, parameters) of the training that the scene's settings describe; `shot` is the take where none is chosen. Raises MienError."""
    t = scene.mien.training
    takes, output = shots.absolute(t.takes) if t.takes else shot, actor_folder(scene)
    if takes is None and t.kind != "shape":
        raise MienError("There are no takes: choose a table or a folder of takes, or track and solve a shot.")
    if takes is not None and not takes.exists():
        raise MienError(f"{takes} does not exist; choose a solved shot folder, a table of takes, or a folder of MEAD or RAVDESS.")
    params: dict[str, Any] = {"output": str(output)}
    if t.kind in CHECKPOINTS:
        params["resume"] = (output / CHECKPOINTS[t.kind]).exists()
    if t.kind == "stylegan":
        params |= {"shots": [str(takes)], "settings": {"size": int(t.size), "kimg": round(t.kimg, 3)}}
    elif t.kind == "shape" and not t.takes:
        params["cast"] = True
    else:
        params["takes"] = str(takes)
    return f"train_{t.kind}", params


def actor_folder(scene: bpy.types.Scene) -> Path:
    """Where the training is written. Raises MienError when none is chosen."""
    if not scene.mien.training.actor:
        raise MienError("Choose the actor folder that the training is written to.")
    return shots.absolute(scene.mien.training.actor)


def newest_preview(actor: Path) -> Path | None:
    """The last sheet that a training drew: true pictures above, made ones below."""
    return max(actor.glob("stylegan/preview/*.png"), key=lambda path: path.stat().st_mtime_ns, default=None)


def show_preview(path: Path) -> bpy.types.Image:
    """The picture as an image of the .blend, the same one each time, in every open Image Editor."""
    image = bpy.data.images.get(PREVIEW)
    if image is None:
        image = bpy.data.images.load(str(path))
        image.name = PREVIEW
    image.filepath = str(path)
    image.reload()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "IMAGE_EDITOR":
                area.spaces.active.image = image
                area.tag_redraw()
    return image


class MIEN_OT_train_actor(JobOperator, bpy.types.Operator):
    """Train the chosen model of the actor; a training that was stopped goes on, and Cancel keeps what is best so far"""

    bl_idname = "mien.train_actor"
    bl_label = "Train"
    title = "Training"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        face = shots.active_face(context)
        t = context.scene.mien.training
        self._face, self._actor, self._kind = face.name if face else "", t.actor, t.kind
        return [train_job(context.scene, shots.shot_folder(context))]

    def kept(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> None:
        if not results and self._kind == "shape" and (shots.absolute(self._actor) / SHAPE_WEIGHTS).exists():
            self.report({"INFO"}, f"What was learnt so far is in {self._actor}" + self._used() + " Train goes on with it.")

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        return f"Trained: {results[-1]['folder']}" + self._used()

    def _used(self) -> str:
        """Let the face that was in use take the actor; the end of a sentence."""
        face = bpy.data.objects.get(self._face)
        if not shots.is_face(face):
            return "."
        face.mien.actor = self._actor
        return f"; {face.name} uses it from now on."


class MIEN_OT_training_preview(bpy.types.Operator):
    """Show the newest pictures that the training made, true ones above, in the Image Editor"""

    bl_idname = "mien.training_preview"
    bl_label = "Show Preview"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        t = context.scene.mien.training
        if not t.actor or newest_preview(shots.absolute(t.actor)) is None:
            cls.poll_message_set("There is no picture yet: a StyleGAN draws one at each measure")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = newest_preview(actor_folder(context.scene))
        try:
            image = show_preview(path)
        except RuntimeError as error:
            self.report({"ERROR"}, f"{path} cannot be read: {error}")
            return {"CANCELLED"}
        self.report({"INFO"}, f"{path.name} is the image '{image.name}' in the Image Editor.")
        return {"FINISHED"}


CLASSES = (MIEN_OT_train_actor, MIEN_OT_training_preview)
