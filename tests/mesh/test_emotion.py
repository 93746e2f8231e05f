# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mien.mesh.emotion import EMOTIONS, EmotionCurves
from mien.mesh.errors import MienError


def test_rest_by_default():
    curves = EmotionCurves.constant(5)
    assert curves.at_rest.all() and not curves.effective.any()


def test_master_scales():
    curves = EmotionCurves.constant(3, happy=0.8, master=0.5)
    assert np.allclose(curves.effective[:, EMOTIONS.index("happy")], 0.4)
    assert EmotionCurves.constant(3, happy=0.8, master=0.0).at_rest.all()


@pytest.mark.parametrize("values", [{"happy": 1.2}, {"sad": -0.1}, {"joyful": 0.5}, {"mouth": float("nan")}])
def test_bad_values_are_named(values):
    with pytest.raises(MienError, match=next(iter(values))):
        EmotionCurves.constant(3, **values)


def test_csv_goes_linearly_between_rows(tmp_path):
    path = tmp_path / "curves.csv"
    path.write_text("frame,happy,mouth\n1005,1,0.2\n1001,0,0.2\n")
    curves = EmotionCurves.from_csv(path, 1000, 8)
    assert np.allclose(curves.emotions[:, EMOTIONS.index("happy")], [0, 0, 0.25, 0.5, 0.75, 1, 1, 1])
    assert np.allclose(curves.mouth, 0.2)


@pytest.mark.parametrize("text", ["", "time,happy\n1,1\n", "frame,happy\n1,much\n", "frame,glee\n1,1\n", "frame,happy\n1,7\n"])
def test_bad_csv_is_one_sentence(tmp_path, text):
    path = tmp_path / "curves.csv"
    path.write_text(text)
    with pytest.raises(MienError):
        EmotionCurves.from_csv(path, 1, 3)


def test_round_trip(tmp_path):
    curves = EmotionCurves.constant(4, fear=0.3, neutralise=0.7, mouth=1.0)
    curves.save(tmp_path / "emotion.npz")
    again = EmotionCurves.load(tmp_path / "emotion.npz")
    for name in ("emotions", "master", "neutralise", "mouth"):
        assert np.array_equal(getattr(curves, name), getattr(again, name))
