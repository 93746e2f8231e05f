# SPDX-License-Identifier: GPL-3.0-or-later
"""Mien: direct the emotion of a filmed performance, inside Blender."""
