# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's controls: their names, their keys, and what a bake reads from them."""

from __future__ import annotations

import numpy as np
import pytest

from mien.mesh.emotion import CONTROLS, DEFAULTS, EMOTIONS, EmotionCurves


@pytest.fixture
def face(blender, make_shot):
    from mien.operators import face
    shot = make_shot()
    object = face.import_shot(blender.context.scene, shot).face
    blender.context.view_layer.objects.active = object
    return object


@pytest.fixture
def shot(face, make_shot):
    from mien.mesh.shot import Shot
    from mien.operators import shots
    return Shot.load(shots.absolute(face.mien.shot_folder))


@pytest.fixture
def emotion(blender):
    from mien.operators import emotion
    return emotion


def test_there_is_one_property_for_each_control(face) -> None:
    for name in CONTROLS:
        assert getattr(face.mien, name) == pytest.approx(DEFAULTS.get(name, 0.0))
        setattr(face.mien, name, 7.0)
        assert getattr(face.mien, name) == 1.0
        setattr(face.mien, name, -7.0)
        assert getattr(face.mien, name) == 0.0
        prop = face.mien.bl_rna.properties[name]
        assert prop.is_animatable
        assert prop.description


def test_at_rest_nothing_is_asked(emotion, face, shot) -> None:
    curves, warnings = emotion.sample(face, shot)
    assert len(curves) == shot.plate.frame_count
    assert curves.at_rest.all()
    assert warnings == []


def test_curves_are_sampled_and_clamped(emotion, face, shot) -> None:
    for frame, value in ((1001, 0.0), (1006, 1.0), (1012, 0.0)):
        face.mien.happy = value
        face.keyframe_insert("mien.happy", frame=frame)
    from mien import compat
    bag = compat.channelbag(face)
    curve = next(c for c in bag.fcurves if c.data_path == "mien.happy")
    for point in curve.keyframe_points:
        point.interpolation = "LINEAR"
    face.mien.sad = 0.25  # no curve: the value holds
    curves, _ = emotion.sample(face, shot)
    happy = curves.emotions[:, EMOTIONS.index("happy")]
    assert happy == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, *np.linspace(1, 0, 7)[1:]], abs=1e-6)
    assert np.all(curves.emotions[:, EMOTIONS.index("sad")] == np.float32(0.25))
    curve.keyframe_points[1].co.y = 3.0  # beyond the slider
    curve.update()
    curves, _ = emotion.sample(face, shot)
    assert curves.emotions.max() == 1.0


def test_sampling_agrees_with_blender(emotion, blender, face, shot) -> None:
    for frame, value in ((998, 0.1), (1004, 0.9), (1020, 0.3)):  # keys outside the shot count too
        for name in ("angry", "mouth"):
            setattr(face.mien, name, value)
            face.keyframe_insert(f"mien.{name}", frame=frame)
    curves, _ = emotion.sample(face, shot)
    for i in range(len(curves)):
        blender.context.scene.frame_set(shot.frame_number(i))
        assert curves.emotions[i, EMOTIONS.index("angry")] == pytest.approx(face.mien.angry, abs=1e-6)
        assert curves.mouth[i] == pytest.approx(face.mien.mouth, abs=1e-6)


def test_a_muted_curve_leaves_the_value(emotion, face, shot) -> None:
    face.mien.fear = 1.0
    face.keyframe_insert("mien.fear", frame=1001)
    from mien.operators import shots
    shots.control_curves(face)["fear"].mute = True
    face.mien.fear = 0.5
    curves, _ = emotion.sample(face, shot)
    assert np.all(curves.emotions[:, EMOTIONS.index("fear")] == 0.5)


def test_another_slot_of_the_same_action_is_not_read(emotion, face, shot, blender) -> None:
    face.mien.happy = 1.0
    face.keyframe_insert("mien.happy", frame=1001)
    action = face.animation_data.action
    face.animation_data.action_slot = action.slots.new(id_type="OBJECT", name="Alternative")
    face.mien.happy = 0.0
    curves, _ = emotion.sample(face, shot)
    assert curves.at_rest.all()


def by_blender(blender, face, shot, name: str) -> list[float]:
    """What Blender itself shows on each frame."""
    values = []
    for i in range(shot.plate.frame_count):
        blender.context.scene.frame_set(shot.frame_number(i))
        values.append(getattr(face.mien, name))
    return values


def test_an_nla_strip_is_sampled_as_blender_plays_it(blender, emotion, face, shot) -> None:
    for frame, value in ((1001, 0.0), (1005, 1.0)):
        face.mien.happy = value
        face.keyframe_insert("mien.happy", frame=frame)
    animation, before = face.animation_data, len(blender.data.objects)
    assert animation.action.slots, "the emotion of a shot is one action with a slot"
    track = animation.nla_tracks.new()
    strip = track.strips.new("Smile", 1003, animation.action)
    animation.action = None
    strip.scale = 1.5
    curves, warnings = emotion.sample(face, shot)
    happy = curves.emotions[:, EMOTIONS.index("happy")]
    assert warnings == []
    assert happy[8] == pytest.approx(1, abs=1e-6)
    assert happy[5] == pytest.approx(0.5, abs=1e-6)
    assert happy == pytest.approx(by_blender(blender, face, shot, "happy"), abs=1e-6)
    assert (len(blender.data.objects), len(blender.data.scenes)) == (before, 1), "nothing is left of the sampling"
    from mien.operators import shots
    was = shots.controls_hash(face)
    strip.scale = 1.2
    assert shots.controls_hash(face) != was
    was = shots.controls_hash(face)
    strip.action.layers[0].strips[0].channelbag(strip.action_slot).fcurves.find("mien.happy").keyframe_points[1].co.y = 0.7
    assert shots.controls_hash(face) != was
    track.mute = True
    assert not shots.layered(face)


def test_a_driver_is_sampled_and_a_broken_one_said(blender, emotion, face, shot) -> None:
    slider = blender.data.objects.new("Slider", None)
    blender.context.scene.collection.objects.link(slider)
    for frame, value in ((1001, 0.0), (1012, 2.0)):
        slider.location.x = value
        slider.keyframe_insert("location", index=0, frame=frame)
    driver = face.mien.driver_add("sad").driver
    driver.type = "AVERAGE"
    variable = driver.variables.new()
    variable.type = "TRANSFORMS"
    variable.targets[0].id, variable.targets[0].transform_type = slider, "LOC_X"
    curves, warnings = emotion.sample(face, shot)
    sad = curves.emotions[:, EMOTIONS.index("sad")]
    assert warnings == []
    assert sad[0] == 0
    assert sad[-1] == 1
    assert sad == pytest.approx(by_blender(blender, face, shot, "sad"), abs=1e-6)
    variable.targets[0].id = None
    blender.context.view_layer.update()
    emotion.sample(face, shot)
    _, warnings = emotion.sample(face, shot)
    assert len(warnings) == 1
    assert "Sad" in warnings[0]


def test_keying_all_and_undoing_it_all(blender, emotion, face, shot) -> None:
    blender.context.scene.frame_set(1004)
    face.mien.surprised = 0.8
    assert blender.ops.mien.key_emotion() == {"FINISHED"}
    from mien import compat
    curves = {c.data_path: c for c in compat.channelbag(face).fcurves if c.data_path.startswith("mien.")}
    assert curves.keys() == {f"mien.{name}" for name in CONTROLS}
    assert all(c.group.name == "Mien Emotion" and c.keyframe_points[0].co[0] == 1004 for c in curves.values())
    assert len({tuple(c.color) for c in curves.values() if c.color_mode == "CUSTOM"}) == 7
    assert blender.ops.mien.reset_emotion(keys=True) == {"FINISHED"}
    assert not [c for c in compat.channelbag(face).fcurves if c.data_path.startswith("mien.")]
    assert all(getattr(face.mien, name) == pytest.approx(DEFAULTS.get(name, 0.0)) for name in CONTROLS)
    assert len([c for c in compat.channelbag(face).fcurves if c.data_path == "location"]) == 3


def test_keys_set_over_a_slider_find_their_group(blender, emotion, face) -> None:
    face.keyframe_insert("mien.happy", frame=1001)
    assert blender.ops.mien.write_emotion() == {"FINISHED"}
    from mien.operators import shots
    assert shots.control_curves(face)["happy"].group.name == "Mien Emotion"


def test_curves_are_written_into_the_shot_folder(blender, face, shot) -> None:
    face.mien.happy = 0.5
    blender.ops.mien.write_emotion()
    curves = EmotionCurves.load(shot.emotion_path)
    assert np.all(curves.emotions[:, EMOTIONS.index("happy")] == 0.5)


def test_no_face_says_what_to_do(blender) -> None:
    for operator in (blender.ops.mien.key_emotion, blender.ops.mien.reset_emotion, blender.ops.mien.write_emotion):
        with pytest.raises(RuntimeError, match="press Import Face"):
            operator()


def test_the_bake_mark_follows_keys_values_and_settings(emotion, face) -> None:
    from mien.operators import shots
    seen = [shots.controls_hash(face)]
    face.mien.happy = 0.5
    seen.append(shots.controls_hash(face))
    face.keyframe_insert("mien.happy", frame=1001)
    seen.append(shots.controls_hash(face))
    shots.control_curves(face)["happy"].keyframe_points[0].co.y = 0.6
    seen.append(shots.controls_hash(face))
    face.mien.glasses = "on"
    seen.append(shots.controls_hash(face))
    assert len(set(seen)) == len(seen)
    assert shots.controls_hash(face) == seen[-1]
