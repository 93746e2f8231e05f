# SPDX-License-Identifier: GPL-3.0-or-later
"""A StyleGAN of labelled takes gives the paper's directions d_y, and an edit can use them."""


import numpy as np
import pytest

from mien.mesh.emotion import EMOTIONS
from mien.mesh.model import load_model
from mien.neural.jobs import JOBS
from mien.neural.level2 import TextureModel
from mien.neural.level2_train import LaidOver, open_faces
from mien.neural.progress import Silent
from mien.neural.shape_gan.takes import Take
from mien.neural.stages import solve, track
from mien.tests.neural.portraits import FRAMES, portrait, write_movie

TINY = {"size": 32, "kimg": 0.008, "batch": 4, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8,
        "measure_kimg": 0.008, "measure_count": 8, "encoder_steps": 2, "encoder_batch": 2, "encoder_width": 4, "encoder_units": 4}


@pytest.mark.long
def test_labelled_takes_give_the_directions_of_emotions(shot, tmp_path):
    other = tmp_path / "happy.mien"
    track(write_movie(tmp_path / "happy.mov", [(0.6 * portrait(0.7 * i)).astype(np.uint8) for i in range(FRAMES)]), other, report=Silent())
    solve(other, report=Silent())
    table = tmp_path / "takes.csv"
    table.write_text(f"clip,actor,emotion,level\n{shot.folder.name},one,neutral,1\nhappy.mien,one,happy,3\n", encoding="utf-8")
    output = tmp_path / "actor"
    result = JOBS["train_stylegan"]({"shots": [str(table)], "output": str(output), "settings": TINY}, Silent())
    assert result["emotions"] == ["happy"] and result["textures"] + result["held_out"] == 2 * FRAMES
    model = TextureModel.load(output)
    faces = [open_faces(folder, load_model("default")) for folder in (shot.folder, other)]
    laid = LaidOver([Take(shot.folder, "one", "neutral", 1), Take(other, "one", "happy", 3)], faces, TINY["size"])
    means = [np.mean([model.images.encode(t[None])[0] for t, _ in laid.textures(n, f.samples())], 0) for n, f in enumerate(faces)]
    at = EMOTIONS.index("happy")
    assert np.allclose(model.emotions[at], (means[1] - means[0]).ravel(), atol=1e-5) and np.abs(model.emotions[at]).max() > 1e-6
    assert not np.delete(model.emotions, at, 0).any()
