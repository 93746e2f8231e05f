# SPDX-License-Identifier: GPL-3.0-or-later
"""What Mien stores in a .blend: `Scene.mien` (which shot) and `Object.mien` (the face: its shot folder and the artist's controls)."""

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..mesh.emotion import DEFAULTS
from ..mesh.model import model_names
from ..operators import actor as training
from ..operators import backends, editors, live, shot_list, shots, track
from ..operators import difference as difference_map


def _unit(label: str, description: str, default: float = 0.0):
    """An animatable control within 0 and 1."""
    return FloatProperty(name=label, description=description, default=default, min=0.0, max=1.0, subtype="FACTOR", options={"ANIMATABLE"},
                         update=live.slider_moved)


class MienObject(bpy.types.PropertyGroup):
    """The face object. The names of the ten controls are those of mesh.emotion.CONTROLS."""

    angry: _unit("Angry", "Brows down and together, lids and lips tight (0: as filmed, 1: strong)")
    contempt: _unit("Contempt", "One corner of the mouth tightened and raised (0: as filmed, 1: strong)")
    disgusted: _unit("Disgusted", "Nose wrinkled, upper lip raised (0: as filmed, 1: strong)")
    fear: _unit("Fear", "Brows up and together, eyes wide, mouth stretched (0: as filmed, 1: strong)")
    happy: _unit("Happy", "Corners of the mouth and cheeks raised (0: as filmed, 1: strong)")
    sad: _unit("Sad", "Inner brows up, corners of the mouth down (0: as filmed, 1: strong)")
    surprised: _unit("Surprised", "Brows up, eyes wide, jaw dropped a little (0: as filmed, 1: strong)")
    master: _unit("Master", "Multiplies all seven emotions; key it to fade the whole edit", DEFAULTS["master"])
    neutralise: _unit("Neutralise", "Takes away the emotion that the actor played, before the new one is added", DEFAULTS["neutralise"])
    mouth: _unit("Keep Speech", "How closely the lips keep to the spoken words: 1 exactly, 0 as the emotion moves them",
                 DEFAULTS["mouth"])
    editor: EnumProperty(name="Editor", description="What turns the emotions into a change of the face's shape", items=editors.EDITOR_ITEMS,
                         default="analytic", options=set(), update=live.slider_moved)
    actor: StringProperty(
        name="Actor", description="Folder of the actor's own networks, made by training; empty: the shot's folder 'actor', or those that Mien ships",
        subtype="DIR_PATH", options={"PATH_SUPPORTS_BLEND_RELATIVE"}, update=live.slider_moved)
    glasses: EnumProperty(
        name="Glasses", description="Hold the rims of glasses straight; lids and brows behind them then move less",
        items=(("auto", "Automatic", "Look for glasses when the shot is solved"), ("on", "On", "The actor wears glasses"),
               ("off", "Off", "No glasses: move everything")), default="auto")
    texture: EnumProperty(
        name="Skin", description="How level 2 changes the skin",
        items=(("on", "Differences", "The plate's own pixels, with the change of shading that the model predicts added"),
               ("full", "Whole", "The model's own picture of the skin, as in the paper; for actors with a trained texture; the plate's grain goes"),
               ("off", "Off", "The skin only moves")), default="on", options=set())
    texture_strength: FloatProperty(
        name="Skin Strength", description="How much the skin's shading and wrinkles follow the expression, as this actor's own frames show it",
        default=1.0, min=0.0, max=2.0, options=set())
    texture_borrow: FloatProperty(
        name="Borrowed Skin", description="How much of the actor folder's emotion directions is added; needs a texture trained on labelled takes",
        default=0.0, min=0.0, max=1.0, options=set())
    teeth: EnumProperty(
        name="Teeth", description="What an edited mouth shows inside",
        items=(("fill", "Filled", "Teeth stay on skull and jaw; what the edit bares is filled from the shot's other frames"),
               ("off", "Bent", "The inside bends with the lips")), default="fill", options=set())
    teeth_amount: FloatProperty(name="Amount", description="How much of the filled mouth is laid over the bent one", default=1.0, min=0.0, max=1.0,
                                options=set())
    teeth_locked: BoolProperty(name="Lock Teeth", description="Fill every opening from the mouth of one frame", options=set())
    teeth_frame: IntProperty(name="Frame", description="The frame whose mouth fills every opening", default=1, options=set())

    live: BoolProperty(name="Live Edit", description="The mesh in the viewport follows the emotion controls at once", default=True,
                       options={"HIDDEN"})
    difference: BoolProperty(name="Difference", description="The mesh is coloured by how far the edit moves it", options={"HIDDEN"})
    difference_range: FloatProperty(name="Red at mm", description="How far the edit moves a point that is coloured red, in millimetres", default=5.0,
                                    min=0.1, soft_max=20.0, precision=1, options=set(), update=difference_map.range_changed)
    shot_folder: StringProperty(name="Shot Folder", description="Where this face's track, solve and bake are kept", subtype="DIR_PATH",
                                options={"PATH_SUPPORTS_BLEND_RELATIVE"})
    camera: PointerProperty(name="Camera", description="The solved camera of this face's shot", type=bpy.types.Object)
    filmed: PointerProperty(name="As Filmed", description="The unedited face that this one is compared with", type=bpy.types.Object)
    part: StringProperty(name="Part", description="What this object is of a face: teeth, gums, an eye; empty: no part", options={"HIDDEN"})
    lost: StringProperty(name="Lost Frames", description="Frames without a face; they stay as filmed, and the mesh holds its last pose there")
    pins: StringProperty(options={"HIDDEN"}, description="The pinned landmarks, for undo; the shot folder has them")
    solve_hash: StringProperty(options={"HIDDEN"}, description="Which solve this mesh was made from")
    shown_hash: StringProperty(options={"HIDDEN"}, description="Which controls the mesh in the viewport shows; empty: as filmed")
    bake_hash: StringProperty(options={"HIDDEN"}, description="Which controls the last bake was made with")


def _is_face(_self: bpy.types.PropertyGroup, object: bpy.types.Object) -> bool:
    return shots.is_face(object)


def _actors(_self: bpy.types.PropertyGroup, context: bpy.types.Context, _typed: str) -> list[str]:
    return track.cast_actors(context.scene)


def _models(_self: bpy.types.PropertyGroup, _context: bpy.types.Context, _typed: str) -> list[str]:
    return model_names()


class ShotSettings:
    """How a shot is tracked and solved: operators.shot_items.PER_SHOT. The scene has those of the shot in work, each row of the list its own."""

    model: StringProperty(
        name="Face Model", description="The face that is fitted to the plate: 'default', or one of your own; empty: as the preferences say",
        search=_models, search_options={"SUGGESTION"})
    face_number: IntProperty(
        name="Face", description="Which face to follow when the plate shows several: 0 is the largest", default=0, min=0, soft_max=9)
    focal_mm: FloatProperty(
        name="Focal Length", description="Of the lens, in mm on a sensor 36 mm wide, if you know it; 0: found by the solve",
        default=0.0, min=0.0, soft_max=300.0, precision=1, subtype="DISTANCE_CAMERA", unit="CAMERA")
    landmarks: EnumProperty(name="Landmarks", description="What finds the points of the face when the plate is tracked", items=backends.LANDMARKS,
                            default="mediapipe", options=set())
    rnet: StringProperty(
        name="R-Net", description="Checkpoint of Deep3DFaceRecon's network: a solve on a Basel Face Model starts from what it says; empty: from rest",
        subtype="FILE_PATH", options={"PATH_SUPPORTS_BLEND_RELATIVE"})
    actor_name: StringProperty(
        name="Actor", description="Who it is, with a cast: one of it, or a new name; empty: recognised by the look",
        search=_actors, search_options={"SUGGESTION"})
    photometric: BoolProperty(name="Refine on the Plate", description="After the solve, move every frame's face so that the skin itself lies still "
                              "on the mesh; slower", options=set())


class MienShot(ShotSettings, bpy.types.PropertyGroup):
    """A shot of the list."""

    plate: StringProperty(name="Plate", description="The footage of this shot", subtype="FILE_PATH", options={"PATH_SUPPORTS_BLEND_RELATIVE"})
    shot_folder: StringProperty(name="Shot Folder", description="Where this shot's track, solve and bake are kept", subtype="DIR_PATH",
                                options={"PATH_SUPPORTS_BLEND_RELATIVE"})


class MienTraining(bpy.types.PropertyGroup):
    """What the next training is of."""

    kind: EnumProperty(name="Train", description="Which model of the actor", items=training.KIND_ITEMS, default="texture", options=set())
    takes: StringProperty(
        name="Takes", description="A solved shot folder, a table (clip, actor, emotion, level), or a folder of MEAD or RAVDESS; empty: this shot, "
        "or for the shape the virtual cast", subtype="FILE_PATH", options={"PATH_SUPPORTS_BLEND_RELATIVE"})
    actor: StringProperty(name="Actor", description="The folder that the training is written to", subtype="DIR_PATH",
                          options={"PATH_SUPPORTS_BLEND_RELATIVE"})
    size: EnumProperty(name="Size", description="Pixels of the textures that a StyleGAN makes", items=training.SIZE_ITEMS, default="256",
                       options=set())
    kimg: FloatProperty(name="Thousand Pictures", description="How many pictures a StyleGAN is shown", default=1000.0, min=0.001, soft_max=25000.0,
                        options=set())


class MienScene(ShotSettings, bpy.types.PropertyGroup):
    """The shot in view."""

    training: PointerProperty(type=MienTraining, name="Training", description="What the next training of an actor is of")

    cast: StringProperty(
        name="Cast", description="Folder that knows the actors of the production, so that all shots of one get the same face; it is made by the "
        "first solve. Empty: every shot is solved on its own", subtype="DIR_PATH", options={"PATH_SUPPORTS_BLEND_RELATIVE"})
    shots: CollectionProperty(type=MienShot, name="Shots", description="The shots of this scene")
    shot_index: IntProperty(name="Shot", description="The shot in work", update=shot_list.chosen, options=set())
    path_base: StringProperty(options={"HIDDEN"}, description="The folder that Mien's relative paths in this file are meant from")
    plate: StringProperty(name="Plate", description="The footage: a movie, or one picture of a numbered sequence", subtype="FILE_PATH",
                          options={"PATH_SUPPORTS_BLEND_RELATIVE"})
    shot_folder: StringProperty(name="Shot Folder", description="Where the track, solve and bake of this plate are kept", subtype="DIR_PATH",
                                options={"PATH_SUPPORTS_BLEND_RELATIVE"})
    face: PointerProperty(name="Face", description="The imported face of this shot", type=bpy.types.Object, poll=_is_face)


CLASSES = (MienObject, MienShot, MienTraining, MienScene)


def register():
    bpy.types.Scene.mien = PointerProperty(type=MienScene, name="Mien", description="The shot whose emotion is edited")
    bpy.types.Object.mien = PointerProperty(type=MienObject, name="Mien", description="Emotion controls of a face")


def unregister():
    del bpy.types.Object.mien
    del bpy.types.Scene.mien
