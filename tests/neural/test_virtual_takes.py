# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes of a virtual actor: what is drawn on the skin follows the actions, and an edit of one take comes nearer to another with both levels."""

import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.neural.demo import takes
from mien.neural.demo.plate import SIZE as SIDE
from mien.neural.demo.plate import Head
from mien.neural.demo.takes import CREASES, DEEP, TEXTURE, VirtualActor, crease_maps, depths, make_takes
from mien.neural.edit import EditSettings
from mien.neural.level2_train import train_texture
from mien.neural.media import probe_plate
from mien.neural.metrics.signs import STAND_INS
from mien.neural.progress import Silent
from mien.neural.shape_gan.takes import read_takes
from mien.neural.stages import solve, track
from mien.neural.studies.ablation import ablation
from mien.neural.studies.run import by_name
from mien.neural.texture import Unwrapper


@pytest.fixture(scope="module")
def face():
    return load_model("default")


@pytest.fixture(scope="module")
def actor():
    return VirtualActor(Head.solved(Silent()), 1)


def test_creases_are_dark_lines_on_the_face_alone(face):
    unwrap = Unwrapper(face, TEXTURE)
    maps = crease_maps(unwrap)
    assert maps.shape == (len(CREASES), TEXTURE, TEXTURE)
    outside = np.ones(TEXTURE**2, bool)
    outside[unwrap.inside] = False
    for drawn in maps:
        assert -1.01 * DEEP < drawn.min() < -0.5 * DEEP and 0 < drawn.max() < 0.5 * DEEP
        assert (drawn < -0.3 * DEEP).mean() < 0.03 and abs(drawn.ravel()[outside]).max() < 0.01


def test_a_crease_is_as_deep_as_its_action_is_strong(face):
    beta = np.zeros((3, face.expression_count), np.float32)
    beta[1:, face.expression_index["mouthSmileLeft"]] = 0.5, 2.0
    found = depths(face, beta)
    smile = list(CREASES).index(("mouthSmile",))
    np.testing.assert_allclose(found[:, smile], [0, 0.5, 1])
    assert not np.delete(found, smile, 1).any()


def test_an_emotion_is_there_from_the_first_frame_to_the_last(actor):
    index = actor.head.model.expression_index["mouthSmileLeft"]
    happy, neutral = (actor.played(e, 1, 20)[:, index] for e in ("happy", "neutral"))
    assert happy.min() > neutral.max() + 0.3
    np.testing.assert_array_equal(actor.played("happy", 1, 20)[:, index], happy)
    assert np.abs(actor.played("happy", 2, 20)[:, index] - happy).max() > 0.01


def test_pictures_show_the_creases(actor, monkeypatch):
    """The same frame with its creases and without: much darker along few lines, the same where there is no face."""
    lined = next(actor.pictures("happy", 1, 1, Silent())).astype(int)
    monkeypatch.setattr(takes, "DEEP", 0.0)
    difference = (lined - next(actor.pictures("happy", 1, 1, Silent()))).mean(2)
    assert difference.min() < -20 and 0.001 < (difference < -10).mean() < 0.05 and not difference[:60].any() and not difference[:, :40].any()


def test_files_and_table(tmp_path):
    listed = read_takes(make_takes(tmp_path / "virtual", "sad", frames=2))
    assert [(t.clip.name, t.emotion, t.level) for t in listed] == [("neutral_1.avi", "neutral", 1), ("sad_1.avi", "sad", 3)]
    for name in ("neutral_1", "neutral_2", "sad_1", "sad_2"):
        plate = probe_plate(tmp_path / "virtual" / f"{name}.avi")
        assert (plate.width, plate.height, plate.frame_count) == (SIDE, SIDE, 2)
    with pytest.raises(MienError, match="'bored'; use one of angry"):
        make_takes(tmp_path, "bored")


@pytest.mark.long
def test_an_edit_needs_both_levels(tmp_path):
    """Table 1 of Sun et al. 2023 in small: whole, an edit is nearest to the true happy frames."""
    table, shot = make_takes(tmp_path, "happy", frames=30), tmp_path / "neutral_2.mien"
    train_texture(table, tmp_path / "actor", report=Silent())
    track(tmp_path / "neutral_2.avi", shot, report=Silent())
    solve(shot, report=Silent())
    result = ablation(shot, {"happy": 1.0}, settings=EditSettings(actor=str(tmp_path / "actor"), texture_borrow=1.0),
                      references=[tmp_path / "happy_2.avi"], frames=(1, 12), parts=["level 1", "level 2"], report=Silent())
    found = {name: by_name(m)[STAND_INS["signs"]].value for name, m in result.measures.items()}
    assert found["full"] < 0.9 * found["without level 1"] and found["full"] < 0.9 * found["without level 2"]
