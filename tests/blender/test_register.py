# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching the extension on and off leaves nothing behind; what it adds is well formed."""

from __future__ import annotations

import functools
import inspect
import sys

import pytest


def registered(bpy) -> set[str]:
    """Everything that classes of Mien added to Blender."""
    import mien
    names = {c.__name__ for module in mien._modules() for c in module.CLASSES if hasattr(bpy.types, c.__name__)}
    names |= {f"{t}.{a}" for t in ("Scene", "Object", "WindowManager") for a in dir(getattr(bpy.types, t)) if "mien" in a.lower()}
    handlers = [f for name in dir(bpy.app.handlers) if isinstance(getattr(bpy.app.handlers, name), list) for f in getattr(bpy.app.handlers, name)]
    names |= {f"handler {f}" for f in handlers if "mien" in getattr(f, "__module__", "")}
    names |= {f"bpy.ops.mien.{name}" for name in dir(bpy.ops.mien)}
    return names


def test_on_off_on_off() -> None:
    import bpy

    import mien
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert registered(bpy) == set()
    mien.register()
    first = registered(bpy)
    assert {"Scene.mien", "Object.mien", "MIEN_OT_track", "MIEN_PT_main", "bpy.ops.mien.import_face"} <= first
    mien.unregister()
    assert registered(bpy) == set()
    mien.register()
    assert registered(bpy) == first
    mien.unregister()
    assert registered(bpy) == set()


def operators(bpy) -> list[type]:
    import mien
    return [c for module in mien._modules() for c in module.CLASSES if issubclass(c, bpy.types.Operator)]


def test_every_operator_has_a_name_and_a_tooltip(blender) -> None:
    for cls in operators(blender):
        assert cls.bl_idname.startswith("mien."), cls
        assert cls.bl_label, cls
        tooltip = cls.__doc__ or getattr(cls, "bl_description", "")
        assert len(tooltip.strip()) > 15, cls
        assert not tooltip.strip().endswith("."), f"{cls}: Blender adds the full stop"
        properties = getattr(blender.ops.mien, cls.bl_idname.split(".")[1]).get_rna_type().properties
        for prop in properties:
            if prop.identifier != "rna_type" and not prop.is_hidden and not prop.identifier.startswith("filter_"):
                assert prop.description, f"{cls}.{prop.identifier}"


def test_operators_are_thin(blender) -> None:
    for cls in operators(blender):
        for name in ("execute", "invoke", "steps", "finished", "draw"):
            method = vars(cls).get(name)
            if method is not None:
                assert len(inspect.getsource(method).splitlines()) <= 40, f"{cls.__name__}.{name}"


def test_every_property_has_a_tooltip(blender) -> None:
    from mien.ui import properties
    for cls in properties.CLASSES:
        for prop in cls.bl_rna.properties:
            assert prop.description or prop.identifier in ("rna_type", "name"), f"{cls.__name__}.{prop.identifier}"


class Layout:
    """Records what a panel draws; every unknown method returns another layout."""

    def __init__(self, drawn: list | None = None):
        self.drawn = [] if drawn is None else drawn
        self.alignment = self.operator_context = ""
        self.use_property_split = self.use_property_decorate = False
        self.scale_y = 1.0

    def label(self, *, text: str = "", icon: str = "NONE") -> None:
        self.drawn.append(text)

    def operator(self, idname: str, **options):
        import bpy
        module, name = idname.split(".")
        assert name in dir(getattr(bpy.ops, module)), idname
        self.drawn.append(idname)
        return type("Properties", (), {})()

    def operator_menu_enum(self, idname: str, property: str, **options):
        return self.operator(idname)

    def panel(self, name: str, **options):
        return Layout(self.drawn), Layout(self.drawn)

    def menu(self, name: str, **options) -> None:
        import bpy
        assert hasattr(bpy.types, name), name
        self.drawn.append(name)

    def prop(self, data, name: str, **options) -> None:
        assert name in data.bl_rna.properties, name
        self.drawn.append(name)

    def __getattr__(self, name: str):
        return lambda *args, **options: Layout(self.drawn)


class Panel:
    """Stands for an instance of a panel class, which only Blender can make."""

    def __init__(self, cls: type, layout: Layout):
        self._cls, self.layout = cls, layout

    def __getattr__(self, name: str):
        value = getattr(self._cls, name)
        return functools.partial(value, self) if inspect.isfunction(value) else value


@pytest.mark.parametrize("stage", ["empty", "plate", "solved", "imported", "lost engine", "error"])
def test_panels_draw_at_every_stage(blender, saved, make_shot, monkeypatch, stage) -> None:
    from types import SimpleNamespace

    from mien.operators import engine, shots
    from mien.ui import finish, lists, panels, steps
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    make_shot(folder=saved.parent, lost=(3,), cuts=(6,))
    scene = blender.context.scene
    if stage == "plate":
        scene.mien.plate, scene.mien.shot_folder = "//footage/x.mp4", "//x.mien"
    elif stage != "empty":
        scene.mien.plate, scene.mien.shot_folder = "//footage/talk.####.png", "//talk.mien"
    if stage in ("imported", "error"):
        blender.ops.mien.import_face()
    if stage == "lost engine":
        monkeypatch.setattr(engine, "engine_python", lambda context: None)
    if stage == "error":
        monkeypatch.setattr(engine, "STATE", engine.JobState("Bake", error="It broke.", log="/x.log", warnings=["careful"]))
    shots.forget()
    context = SimpleNamespace(scene=scene, active_object=blender.context.view_layer.objects.active, preferences=blender.context.preferences,
                              region=SimpleNamespace(width=300), space_data=None)
    drawn: list[str] = []
    for cls in (*panels.CLASSES, *lists.CLASSES, *steps.CLASSES, *finish.CLASSES):
        if issubclass(cls, blender.types.UIList):
            continue
        if not hasattr(cls, "poll") or cls.poll(context):
            panel = Panel(cls, Layout(drawn))
            for method in ("draw_header", "draw_header_preset", "draw"):
                if hasattr(cls, method):
                    getattr(panel, method)(context)
    words = " ".join(drawn)
    assert "mien.choose_plate" in drawn
    assert ("talk.####.png" in words) == (stage not in ("empty", "plate"))
    if stage in ("solved", "imported"):
        assert "11 of 12 frames solved" in words
        assert "1004" in words
        assert "1007" in words
    assert ("happy" in drawn) == (stage in ("imported", "error"))
    assert ("It broke." in words) == (stage == "error")
    assert ("preferences.addon_show" in drawn) == (stage == "lost engine")


@pytest.mark.parametrize("stage", ["no engine", "tested", "failed", "unfinished", "done"])
def test_preferences_draw(blender, monkeypatch, stage) -> None:
    from mien.operators import engine, engine_setup
    from mien.ui import preferences
    monkeypatch.setattr(engine, "engine_python", lambda context: None if stage == "no engine" else sys.executable)
    checks = [{"name": "Device", "ok": True, "text": "processor", "fix": ""}, {"name": "torch", "ok": False, "text": "is missing", "fix": "Do this."}]
    monkeypatch.setattr(engine_setup.MIEN_OT_selftest, "report_found", {"checks": checks} if stage == "tested" else {})
    monkeypatch.setattr(engine_setup, "setup_state", lambda: {"state": stage, "step": "torch"} if stage in ("unfinished", "done") else {})
    if stage == "failed":
        monkeypatch.setattr(engine, "STATE", engine.JobState("Engine set-up", error="The disk is full."))
    panel = Panel(preferences.MienPreferences, Layout())
    panel.engine_python, panel.wheels = "", ""
    panel.draw(blender.context)
    words = " ".join(panel.layout.drawn)
    assert "mien.setup_engine" in words and "mien.open_logs" in words
    assert ("Do this." in words) == (stage == "tested")
    assert ("stopped at 'torch'" in words) == (stage == "unfinished")
    assert ("The disk is full." in words and "mien.copy_error" in words) == (stage == "failed")
    assert ("not there yet" in words) == (stage == "no engine")
