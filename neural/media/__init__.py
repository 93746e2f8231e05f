# SPDX-License-Identifier: GPL-3.0-or-later
"""Plates in and out: probing, streaming frames, writing deliveries and EXR layers."""

from .colour import display8, linear_to_srgb, srgb_to_linear, to_display, to_linear
from .exr import read_exr, write_exr, write_face_layer, write_matte
from .kept import keep_frames
from .probe import fingerprint, probe_plate
from .reader import Frame, PlateReader
from .stills import read_still, write_png
from .writer import PlateWriter, open_writer

__all__ = ["Frame", "PlateReader", "PlateWriter", "display8", "fingerprint", "keep_frames", "linear_to_srgb", "open_writer", "probe_plate",
           "read_exr", "read_still", "srgb_to_linear", "to_display", "to_linear", "write_exr", "write_face_layer", "write_matte", "write_png"]
