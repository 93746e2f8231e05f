# SPDX-License-Identifier: GPL-3.0-or-later
"""The inside of the mouth (Sun et al. 2023, section 3.5.2): upper teeth stay on the skull, lower teeth on the jaw, new openings are filled."""

from .crops import MouthCrop
from .geometry import MouthGeometry, MouthPose
from .layer import MouthLayer
from .model import MouthModel

__all__ = ["MouthCrop", "MouthGeometry", "MouthLayer", "MouthModel", "MouthPose"]
