# SPDX-License-Identifier: GPL-3.0-or-later
"""LPIPS: its formula against one written out, its files, and what is no such file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mien.mesh.errors import MienError
from mien.neural.metrics.lpips import CHANNELS, LPIPS, lpips_of_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """AlexNet's and the heads' files, with the public names and random weights; the classifier, which LPIPS has no use for, is there too."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("lpips")
    alexnet = {f"features.{k}": torch.randn_like(v) * 0.05 for k, v in LPIPS().features.state_dict().items()}
    torch.save({**alexnet, "classifier.1.weight": torch.zeros(2, 2)}, folder / "alexnet.pth")
    torch.save({f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate(CHANNELS)}, folder / "alex.pth")
    return folder / "alex.pth", folder / "alexnet.pth"


@pytest.fixture
def pair():
    return [np.random.default_rng(i).integers(0, 255, (256, 256, 3), np.uint8) for i in range(2)]


def written_out(files, a, b) -> float:
    """Zhang et al. 2018, equation 1, layer by layer."""
    heads, net = (torch.load(f, weights_only=True) for f in files)

    def layers(picture):
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].double() / 255
        x = (x * 2 - 1 - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        out = []
        for k, (index, stride, padding) in enumerate(((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))):
            if k in (1, 2):
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(F.conv2d(x, net[f"features.{index}.weight"].double(), net[f"features.{index}.bias"].double(), stride, padding))
            out.append(F.normalize(x, dim=1, eps=1e-10))
        return out

    return float(sum((((p - q) ** 2) * heads[f"lin{k}.model.1.weight"].double()).sum(1).mean() for k, (p, q) in enumerate(zip(layers(a), layers(b)))))


def test_it_is_the_formula(files, pair):
    assert lpips_of_files(*files)(*pair) == pytest.approx(written_out(files, *pair), rel=1e-4)


def test_equal_pictures_have_no_distance_and_order_does_not_matter(files, pair):
    distance = lpips_of_files(*files)
    assert distance(pair[0], pair[0]) == 0 and distance(*pair) == pytest.approx(distance(*pair[::-1])) and distance(*pair) > 0


def test_a_stronger_change_is_further_away(files, pair):
    a, b = (p.astype(float) for p in pair)
    distance = lpips_of_files(*files)
    values = [distance(pair[0], (a + t * (b - a)).astype(np.uint8)) for t in (0.1, 0.4, 1)]
    assert values[0] < values[1] < values[2]


def test_other_files(files, tmp_path):
    with pytest.raises(MienError, match="does not exist"):
        lpips_of_files(files[0], tmp_path / "none.pth")
    with pytest.raises(MienError, match=r"lin0\.model\.1\.weight"):
        lpips_of_files(files[1], files[1])
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(MienError, match="tensors only"):
        lpips_of_files(tmp_path / "text.pth", files[1])
