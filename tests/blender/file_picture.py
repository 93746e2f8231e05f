# SPDX-License-Identifier: GPL-3.0-or-later
"""What of Mien is in a .blend, to tell whether two states of a file are the same."""

from __future__ import annotations


def picture(bpy) -> dict:
    """What the artist would see of Mien in this file."""
    from mien.mesh.emotion import CONTROLS
    from mien.operators.shot_items import PER_SHOT
    scene = bpy.context.scene
    faces = sorted((o for o in scene.objects if o.type == "MESH" and o.mien.shot_folder), key=lambda o: o.name)
    settings, training = scene.mien, scene.mien.training
    return {
        "shot": (settings.plate, settings.shot_folder, settings.face and settings.face.name, settings.shot_index),
        "method": [[round(v, 5) if isinstance(v, float) else v for v in (getattr(holder, name) for name in PER_SHOT)]
                   for holder in (settings, *settings.shots)],
        "list": [(item.name, item.shot_folder, item.plate) for item in settings.shots],
        "training": (training.kind, training.takes, training.actor),
        "faces": [(o.name, o.mien.shot_folder, len(o.data.vertices), len(o.data.shape_keys.key_blocks), o.mien.bake_hash) for o in faces],
        "controls": [[round(getattr(o.mien, name), 5) for name in CONTROLS] for o in faces],
        "curves": [sorted((c.data_path, len(c.keyframe_points)) for c in curves(o)) for o in faces],
        "actors": [o.mien.actor for o in faces],
        "pins": [o.mien.pins for o in faces],
        "scenes": sorted(s.name for s in bpy.data.scenes),
        "strips": sorted((s.name, strip.name) for s in bpy.data.scenes if s.sequence_editor for strip in s.sequence_editor.strips_all),
        "objects": sorted((o.name, o.display_type) for o in scene.objects),
        "difference": [o.mien.difference for o in faces],
        "masks": [(m.name, sum(len(layer.splines) for layer in m.layers)) for m in bpy.data.masks],
        "frames": (scene.frame_start, scene.frame_end, scene.frame_current),
    }


def curves(face):
    from mien import compat
    bag = compat.channelbag(face)
    return bag.fcurves if bag else []
