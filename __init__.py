# SPDX-License-Identifier: GPL-3.0-or-later
"""Mien: direct the emotion of a filmed performance, inside Blender.

This is at once the Blender extension and the root of the package that the engine and the command line run from, so nothing
is imported until Blender calls `register`.
"""

MODULES = ("ui.properties", "ui.preferences", "operators.engine", "operators.engine_setup", "operators.paths", "operators.plate",
           "operators.shot_list", "operators.track", "operators.face", "operators.emotion", "operators.bake", "operators.bake_command",
           "operators.live", "operators.preview", "operators.presets", "operators.difference", "operators.compare", "operators.result",
           "operators.composite", "operators.show_scene", "operators.occlusion", "operators.occlusion_frames", "operators.deliver",
           "operators.deliver_layers", "operators.handover", "operators.help", "operators.sound", "operators.actor", "operators.pins",
           "operators.pinning", "ui.panels", "ui.lists", "ui.steps", "ui.pins", "ui.finish", "ui.timeline", "ui.handover", "ui.help",
           "ui.actor", "ui.overlay")
"""What the extension adds, in the order of registration: each module has CLASSES, and may have `register()` and `unregister()`."""


def _modules():
    import importlib
    return [importlib.import_module("." + name, __name__) for name in MODULES]


def register():
    import bpy
    for module in _modules():
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)
        if hasattr(module, "register"):
            module.register()


def unregister():
    import bpy
    for module in reversed(_modules()):
        if hasattr(module, "unregister"):
            module.unregister()
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
