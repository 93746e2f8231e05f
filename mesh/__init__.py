# SPDX-License-Identifier: GPL-3.0-or-later
"""The face as geometry: models, camera, emotion, shot folders. numpy and the standard library only."""
