# SPDX-License-Identifier: GPL-3.0-or-later
"""Latent image models: pictures as few numbers that can be edited; one interface for the face texture and for the mouth."""

from .model import KINDS, LatentImageModel, describe, load_latent, model_files

__all__ = ["KINDS", "LatentImageModel", "describe", "load_latent", "model_files"]
