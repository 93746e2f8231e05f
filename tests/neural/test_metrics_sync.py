# SPDX-License-Identifier: GPL-3.0-or-later
"""Lip-sync: the cepstra, the network's checkpoint format, LSE-D and LSE-C of made-up features, networks that the user brings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.mesh.errors import MienError
from mien.neural.metrics.lse import LipFeatures, clip_sync, common, lip_sync, shifted_distances, sound_features
from mien.neural.metrics.mfcc import mel_bands, mfcc
from mien.neural.metrics.networks import feature_network, lpips_network
from mien.neural.metrics.syncnet import SyncNet, load_syncnet


class TestCepstra:
    def test_one_each_ten_milliseconds(self):
        assert mfcc(np.ones(16000)).shape == (99, 13) and mfcc(np.ones(100)).shape == (1, 13) and mfcc(np.zeros(0)).shape == (0, 13)

    def test_the_first_one_is_the_energy(self):
        """Of an impulse of height h at the start of a window, pre-emphasised: power |h (1 - 0.97 e^-iw)|^2 / 512 over 257 bins."""
        w = np.arange(257) * 2 * np.pi / 512
        sound = np.zeros(400)
        sound[10] = 1000
        energy = (np.abs(1000 * (1 - 0.97 * np.exp(-1j * w))) ** 2 / 512).sum()
        assert mfcc(sound)[0, 0] == pytest.approx(np.log(energy))

    def test_bands_are_triangles_in_order(self):
        bands = mel_bands()
        assert bands.shape == (26, 257) and bands.max() == 1 and (np.diff(bands.argmax(1)) > 0).all()

    def test_loudness_moves_the_energy_only(self):
        sound = np.random.default_rng(3).normal(0, 500, 8000)
        change = mfcc(2 * sound) - mfcc(sound)
        np.testing.assert_allclose(change[:, 0], np.log(4))
        np.testing.assert_allclose(change[:, 1:], 0, atol=1e-9)


def made_up_pair(frames: int = 120, dimensions: int = 32) -> np.ndarray:
    """Features that say when they are: each frame's differs from all others'."""
    return np.random.default_rng(5).normal(size=(frames, dimensions))


class TestLSE:
    def test_lips_that_fit(self):
        x = made_up_pair()
        sync = lip_sync(x, x)
        assert sync.offset == 0 and sync.lse_d == pytest.approx(0, abs=1e-4) and sync.lse_c > 5

    @pytest.mark.parametrize("delay", [3, -7])
    def test_a_delay_is_found(self, delay):
        x = made_up_pair()
        assert lip_sync(x, np.roll(x, delay, 0)).offset == delay

    def test_a_delay_beyond_the_search_worsens_both(self):
        x = made_up_pair()
        good, bad = lip_sync(x, x), lip_sync(x, np.roll(x, 40, 0))
        assert bad.lse_d > good.lse_d + 5 and bad.lse_c < good.lse_c - 5

    def test_at_a_fixed_offset_a_delay_worsens_the_distance_step_by_step(self):
        """Smooth features, as speech has: the distance at offset 0 grows with the delay."""
        x = np.apply_along_axis(lambda c: np.convolve(c, np.hanning(21), "same"), 0, made_up_pair(200))
        at_zero = [shifted_distances(x, np.roll(x, d, 0))[15] for d in (0, 1, 2, 4, 8)]
        assert all(a < b for a, b in zip(at_zero, at_zero[1:]))

    def test_unequal_lengths(self):
        with pytest.raises(ValueError):
            lip_sync(np.zeros((3, 2)), np.zeros((4, 2)))
        assert [len(v) for v in common(np.zeros((3, 2)), np.zeros((4, 2)))] == [3, 3]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A SyncNet with random weights, in the public checkpoint's format."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    torch.save(SyncNet().state_dict(), path)
    return path


class TestSyncNet:
    def test_it_has_the_public_checkpoints_names_and_sizes(self):
        state = SyncNet().state_dict()
        assert {k: tuple(state[k].shape) for k in ("netcnnaud.0.weight", "netcnnaud.18.weight", "netfcaud.3.weight", "netcnnlip.0.weight",
                                                   "netcnnlip.4.weight", "netcnnlip.18.weight", "netfclip.0.weight")} == {
            "netcnnaud.0.weight": (64, 1, 3, 3), "netcnnaud.18.weight": (512, 256, 5, 4), "netfcaud.3.weight": (1024, 512),
            "netcnnlip.0.weight": (96, 3, 5, 7, 7), "netcnnlip.4.weight": (256, 96, 1, 5, 5), "netcnnlip.18.weight": (512, 256, 1, 6, 6),
            "netfclip.0.weight": (512, 512)}
        assert sorted({int(k.split(".")[1]) for k in state if k.startswith("netcnnlip")}) == [0, 1, 4, 5, 8, 9, 11, 12, 14, 15, 18, 19]

    def test_features_of_a_clip(self, checkpoint):
        network = load_syncnet(checkpoint)
        sound = np.random.default_rng(0).integers(-3000, 3000, 16000 * 8 // 25).astype(np.int16)
        assert sound_features(network, sound).shape == (3, 1024)  # 31 cepstra, 20 in a window, 4 a frame
        lips = LipFeatures(network)
        for i in range(4):  # 12.5 frames a second: each stays for two of SyncNet's
            lips.add(np.full((224, 224, 3), 40 * i, np.uint8) if i != 2 else None, (i + 1) / 12.5)
        assert lips.finish().shape == (4, 1024) and lips.gaps == 1

    def test_what_is_no_checkpoint(self, tmp_path):
        with pytest.raises(MienError, match="does not exist"):
            load_syncnet(tmp_path / "none.model")
        (tmp_path / "text.model").write_text("hello")
        with pytest.raises(MienError, match="tensors only"):
            load_syncnet(tmp_path / "text.model")
        torch.save({"weight": torch.zeros(2)}, tmp_path / "other.model")
        with pytest.raises(MienError, match="another network"):
            load_syncnet(tmp_path / "other.model")
        torch.save(SyncNet, tmp_path / "class.model")
        with pytest.raises(MienError, match="tensors only"):
            load_syncnet(tmp_path / "class.model")


class Loudness(SyncNet):
    """A SyncNet made by hand: how bright the mouth's middle frame is against how loud the sound is, both 0 to 1 at one place of the feature."""

    def sound(self, cepstra):
        energy = cepstra[:, 0, 0, 8:12].mean(1)  # the log of the energy, in the middle fifth of a second
        return torch.nn.functional.one_hot((energy.clamp(0, 24) / 3).long(), 1024).float() * 10

    def lips(self, pictures):
        return torch.nn.functional.one_hot((pictures[:, 0, 2].mean((1, 2)) / 10).long(), 1024).float() * 10


class TestDelayedSound:
    """The whole way, from pictures and a sound wave to the numbers, with a network whose answer is known."""

    @staticmethod
    def sync(delay: int):
        """Sound that comes `delay` frames of 1/25 s late."""
        rng = np.random.default_rng(4)
        levels = rng.integers(0, 8, 80)
        noise = rng.normal(size=80 * 640)
        # the cepstra's energy of a window of 400 samples at amplitude A is about log(400 A^2 ...): three units apart are clearly told
        loud = np.repeat(np.exp(1.5 * levels - 1.2), 640)
        sound = np.clip(noise * loud, -32768, 32767)
        sound = np.concatenate([np.zeros(max(delay, 0) * 640), sound])[max(-delay, 0) * 640:].astype(np.int16)
        network = Loudness()
        energies = sound_features(network, np.clip(noise * loud, -32768, 32767).astype(np.int16)).argmax(1)
        bright = np.concatenate([[0, 0], energies, np.zeros(80)])[:80]  # what the mouth shows is what was said, at its own time
        crops = ((np.full((224, 224, 3), 10 * b + 5, np.uint8), (i + 1) / 25) for i, b in enumerate(bright))
        return clip_sync(network, crops, sound)

    def test_in_time(self):
        now = self.sync(0)
        assert now.offset == 0 and now.lse_d < 0.5 and now.lse_c > 8

    @pytest.mark.parametrize("delay", [4, -6, 11])
    def test_late_or_early_sound_is_found_at_its_offset(self, delay):
        assert self.sync(delay).offset == delay

    def test_sound_that_is_too_late_worsens_both(self):
        good, bad = self.sync(0), self.sync(25)
        assert bad.lse_d > good.lse_d + 3 and bad.lse_c < good.lse_c - 3


class Mean(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class Apart(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
class TestNetworks:
    def test_features_and_distances(self, tmp_path):
        torch.jit.script(Mean()).save(str(tmp_path / "mean.pt"))
        torch.jit.script(Apart()).save(str(tmp_path / "apart.pt"))
        picture = np.broadcast_to(np.array([255, 0, 51], np.uint8), (256, 256, 3))
        np.testing.assert_allclose(feature_network(tmp_path / "mean.pt")(picture), [1, 0, 0.2], atol=1e-6)
        assert lpips_network(tmp_path / "apart.pt")(picture, picture) == 0
        assert lpips_network(tmp_path / "apart.pt")(picture, np.zeros_like(picture)) == pytest.approx(0.8, abs=1e-5)  # of 2 (1 + 0 + 0.2) / 3
        exported = torch.export.export(Mean(), (torch.zeros(1, 3, 256, 256),))
        torch.export.save(exported, tmp_path / "mean.pt2")
        np.testing.assert_allclose(feature_network(tmp_path / "mean.pt2")(picture), [1, 0, 0.2], atol=1e-6)
        with pytest.raises(MienError, match="did not take"):
            feature_network(tmp_path / "apart.pt")(picture)

    def test_what_is_no_network(self, tmp_path):
        with pytest.raises(MienError, match="does not exist"):
            feature_network(tmp_path / "none.pt")
        (tmp_path / "x.pt").write_bytes(b"x")
        with pytest.raises(MienError, match="no network"):
            feature_network(tmp_path / "x.pt")
