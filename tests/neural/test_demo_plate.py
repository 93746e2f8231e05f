# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's plate: its curves, its voice, and a short movie of it that a tracker takes for a talking head."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from mien.mesh.model import load_model
from mien.neural.demo.keys import demo_curves, frame_keys, frame_label, shown_frames
from mien.neural.demo.plate import FRAMES, RATE, make_plate
from mien.neural.demo.speech import BLINKS, LIPS, OPENING, UTTERANCE, Timeline, blink, head_motion, opening, speech_actions
from mien.neural.demo.voice import FORMANTS, voice
from mien.neural.demo.writer import write_movie
from mien.neural.progress import Silent

TIMES = np.arange(FRAMES) / float(RATE)


def test_every_sound_has_lips_opening_and_formants():
    sounds = {sound for sound, _ in UTTERANCE}
    assert sounds <= set(LIPS) & set(OPENING) & set(FORMANTS)


def test_the_model_knows_every_action_of_the_lips():
    known = set(load_model("default").expression_names)
    assert {name for lips in LIPS.values() for name in lips} | {"eyeBlinkLeft", "eyeBlinkRight"} <= known


def test_the_plate_is_long_enough_and_said_to_its_end():
    assert FRAMES >= 96
    assert Timeline.utterance().duration >= 4


def test_lips_move_smoothly_and_close_between_syllables():
    jaw = speech_actions(TIMES)["jawOpen"]
    assert jaw.min() < 0.03
    assert jaw.max() > 0.3
    fine = speech_actions(np.linspace(0, TIMES[-1], 4000))["jawOpen"]
    assert np.abs(np.diff(fine)).max() < 0.02


def test_blinks_close_fully_and_open_fully():
    assert blink(np.array(BLINKS)) == pytest.approx(1)
    assert (blink(TIMES) == 0).sum() > FRAMES / 2
    assert (blink(TIMES) > 0.8).sum() >= 3


def test_the_head_stays_near_the_portrait():
    turns, steps = head_motion(TIMES)
    assert np.degrees(np.abs(turns).max()) < 8
    assert np.abs(steps).max() < 0.01


def test_the_voice_is_loud_where_the_mouth_is_open():
    rate = 48000
    sound = voice(4.8, rate)
    assert sound.dtype == np.float32
    assert len(sound) == round(4.8 * rate)
    assert 0.3 < np.abs(sound).max() <= 1
    frames = np.sqrt((sound.reshape(FRAMES, -1) ** 2).mean(1))
    assert np.corrcoef(frames, opening(TIMES + 0.5 / float(RATE)))[0, 1] > 0.75
    assert np.array_equal(sound, voice(4.8, rate))


def test_the_voice_has_the_formants_of_its_vowel():
    rate, timeline = 48000, Timeline.utterance()
    at = timeline.centres[timeline.sounds.index("i", 0)]
    piece = voice(4.8, rate)[round((at - 0.04) * rate):round((at + 0.04) * rate)]
    power = np.abs(np.fft.rfft(piece * np.hanning(len(piece)))) ** 2
    hertz = np.fft.rfftfreq(len(piece), 1 / rate)
    assert power[(hertz > 150) & (hertz < 700)].sum() > 5 * power[(hertz > 900) & (hertz < 2000)].sum()


def test_the_movie_has_sound_as_long_as_its_picture(tmp_path):
    pictures = [np.full((48, 64, 3), i * 8, np.uint8) for i in range(25)]
    write_movie(tmp_path / "m.mp4", pictures, Fraction(25), voice(1.0), 48000)
    with av.open(str(tmp_path / "m.mp4")) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert picture.frames == 25
        assert picture.average_rate == 25
        assert float(sound.duration * sound.time_base) == pytest.approx(1, abs=0.03)
    assert [p.name for p in tmp_path.iterdir()] == ["m.mp4"]


@pytest.mark.parametrize("frames", [1, 2, 5, 120, 3000])
def test_keys_fit_any_clip(frames):
    curves = demo_curves(1001, frames)
    assert len(curves) == frames
    assert all(1001 <= number <= 1000 + frames for keys in frame_keys(1001, frames).values() for number, _ in keys)
    assert shown_frames(frames)[-1] < frames
    if frames > 100:
        assert curves.at_rest[0]
        assert curves.emotions.max(0)[[0, 4]].min() > 0.85


def test_labels_tell_the_emotions():
    curves = demo_curves(1, 120)
    assert frame_label(1, curves.effective[0]) == "frame 1  at rest"
    assert frame_label(36, curves.effective[35]) == "frame 36  happy 0.90"


@pytest.mark.long
def test_a_tracker_sees_it_talk_and_blink(tmp_path):
    from mien.mesh.shot import Track
    from mien.neural import stages

    make_plate(tmp_path / "plate.mp4", report=Silent())
    shot = stages.track(tmp_path / "plate.mp4", tmp_path / "plate.mien", report=Silent())
    marks = Track.load(shot).landmarks[..., :2]
    assert np.isfinite(marks).all()
    eyes = np.linalg.norm(marks[:, 33] - marks[:, 263], axis=1)
    lips = np.linalg.norm(marks[:, 13] - marks[:, 14], axis=1) / eyes
    lids = np.linalg.norm(marks[:, 159] - marks[:, 145], axis=1) / eyes
    assert np.corrcoef(lips, speech_actions(TIMES)["jawOpen"])[0, 1] > 0.85
    assert np.corrcoef(lids, blink(TIMES))[0, 1] < -0.6
    assert np.ptp(marks[:, 1, 0]) > 6
