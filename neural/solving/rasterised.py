# SPDX-License-Identifier: GPL-3.0-or-later
"""The photometric term by a differentiable rasteriser on a graphics card (nvdiffrast, Laine et al. 2020), where CUDA and the package are there.

`photometric.py` compares at the vertices and lets the picture's gradients pull; here the whole mesh is drawn, what it hides of itself is hidden,
and every pixel of the face is compared:

    E = sum over pixels p of w_p (L(I_p) - L(C_p))^2,      C = albedo * (Y(n) @ light) of the vertices, interpolated

Its gradient by expression and pose comes back through the interpolation and the rasteriser. The curvature of the step is that of the vertices, as
both measure the same motion, and the pixels together count as much as the seen vertices. The mesh's edges, outside and at eyes and mouth, are no
edges of a colour on the plate and have no say, so they need no antialiasing. Light, colours and weights are held within a step.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Protocol

import numpy as np
import torch

from ...mesh.camera import Camera
from ...mesh.model import FaceModel
from .photometric import LUMA, ROBUST, SHARED, Photometric, Pictures, Skin, softened
from .problem import State

PACKAGE = "nvdiffrast"
ROOM = 1.5
"""Near and far plane: the face's nearest depth divided, its farthest multiplied by this."""


class Rasteriser(Protocol):
    """The two calls that need the card. Tensors are float32 on `device`, contiguous; triangles (F, 3) int32."""

    device: torch.device

    def rasterise(self, clip: torch.Tensor, triangles: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Clip coordinates (1, V, 4) -> (1, h, w, 4): shares of the first and second corner, z / w, triangle number + 1, or 0. Row 0: y = -1."""
        ...

    def interpolate(self, values: torch.Tensor, seen: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
        """Vertex values (1, V, C) at the pixels of `rasterise`, (1, h, w, C), differentiable by both."""
        ...


class Nvdiffrast:
    """nvdiffrast's rasteriser on CUDA. Raises RuntimeError when its compiled part cannot be made or loaded."""

    def __init__(self, device: str = "cuda"):
        self._dr: Any = importlib.import_module(f"{PACKAGE}.torch")
        self.device = torch.device(device)
        self._context = self._dr.RasterizeCudaContext(device=self.device)

    def rasterise(self, clip: torch.Tensor, triangles: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return self._dr.rasterize(self._context, clip, triangles, resolution=size, grad_db=False)[0]

    def interpolate(self, values: torch.Tensor, seen: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
        return self._dr.interpolate(values, seen, triangles)[0]


def find_rasteriser() -> Rasteriser | str:
    """The card's rasteriser, or in a few words why there is none."""
    if not torch.cuda.is_available():
        return "there is no CUDA graphics card"
    if importlib.util.find_spec(PACKAGE) is None:
        return f"{PACKAGE} is not installed"
    try:
        return Nvdiffrast()
    except (ImportError, RuntimeError, OSError) as error:  # its kernels are built on first use, by a compiler that may be missing
        return f"{PACKAGE} does not run here: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"


class Rasterised(Photometric):
    """The term for a run of frames; `skin` holds all vertices."""

    def __init__(self, skin: Skin, pictures: Pictures, camera: Camera, model: FaceModel, rasteriser: Rasteriser):
        super().__init__(skin, pictures, camera)
        self.rasteriser, self.device = rasteriser, rasteriser.device
        self.triangles = torch.as_tensor(model.triangles.astype(np.int32), device=self.device)
        self.directions = self._tensor(skin.directions)
        self.inner = np.ones(model.vertex_count)
        for loop in model.loops.values():
            self.inner[loop] = 0

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, np.float32), device=self.device)

    def gradient(self, state: State, i: int) -> np.ndarray:
        """(B + 6,): half the slope of E / sigma^2 of one frame, its weights adding up to those of the vertices."""
        skin = self.skin
        _, _, weight, points, shade = self.errors(state, i)
        facing = skin.seen(points, state.rotation[i])[1]
        colours = np.concatenate([skin.albedo * shade, (facing * self.inner)[:, None]], 1)
        v = torch.zeros(state.beta.shape[1] + 6, device=self.device, requires_grad=True)
        error, trust = self.compared(state, i, v, colours)
        held = trust * (float(weight.sum()) / SHARED / trust.sum().clamp(min=1e-9))
        (slope,) = torch.autograd.grad((held * error**2).sum(), v)
        return slope.cpu().numpy().astype(np.float64) / (2 * skin.sigma**2)

    def compared(self, state: State, i: int, v: torch.Tensor, colours: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a frame moved by v (B + 6), expression, turn (small) and shift: errors of brightness and held weights, (h, w) each.

        colours (V, 4): albedo under the light, and how far each vertex has a say.
        """
        B, crop = state.beta.shape[1], self.pictures.crops[i]
        height, width = crop.shape[:2]
        shape = self._tensor(self.skin.neutral + np.tensordot(state.beta[i], self.skin.directions, 1)) + torch.tensordot(v[:B], self.directions, 1)
        turned = shape @ self._tensor(state.rotation[i]).T
        turned = turned + torch.linalg.cross(v[B : B + 3].expand_as(turned), turned)
        clip = self._clip(turned + self._tensor(state.translation[i]) + v[B + 3 :], i, (height, width))
        seen = self.rasteriser.rasterise(clip, self.triangles, (height, width))
        drawn = self.rasteriser.interpolate(self._tensor(colours)[None], seen, self.triangles)[0]
        error = (self._tensor(softened(crop)[0]) - drawn[..., :3]) @ self._tensor(LUMA)
        with torch.no_grad():
            weight = drawn[..., 3] * (seen[0, ..., 3] > 0) / (1 + (error / (ROBUST * self.skin.sigma)) ** 2) ** 2
            hidden = self.pictures.hidden[i]
            return error, weight if hidden is None else weight * (1 - self._tensor(hidden))

    def _clip(self, points: torch.Tensor, i: int, size: tuple[int, int]) -> torch.Tensor:
        """Camera axes (V, 3) -> clip coordinates (1, V, 4) in which the crop fills the view, its first row at y = -1."""
        camera, depth = self.camera, points[:, 2:]
        xy = points[:, :2] / depth
        r2 = (xy**2).sum(1, keepdim=True)
        pixel = xy * (1 + camera.k1 * r2 + camera.k2 * r2 * r2) * camera.focal + self._tensor(np.array([camera.cx, camera.cy]))
        at = (pixel - self._tensor(self.pictures.corner[i])) * float(self.pictures.scale[i])
        view = at * self._tensor(2 / np.array(size[::-1])) - 1
        with torch.no_grad():
            near, far = depth.min() / ROOM, depth.max() * ROOM
        z = (depth * (far + near) - 2 * far * near) / (far - near)
        return torch.cat([view * depth, z, depth], 1)[None].contiguous()

    def add(self, H: np.ndarray, g: np.ndarray, state: State) -> None:
        """Add to normal equations (n, P, P) and (n, P) of beta, rotation and translation, in place."""
        super().add(H, np.zeros_like(g), state)
        g += np.stack([self.gradient(state, i) for i in range(len(state.beta))])
