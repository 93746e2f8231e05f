# SPDX-License-Identifier: GPL-3.0-or-later
"""From two shapes of one face to the plate's own pixels, moved: the plate-resolution renderer."""

from .lock import landmark_lock
from .occlusion import behind_mask
from .renderer import FaceLayer, PlateRenderer, RenderSettings

__all__ = ["FaceLayer", "PlateRenderer", "RenderSettings", "behind_mask", "landmark_lock"]
