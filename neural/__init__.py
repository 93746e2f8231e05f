# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: everything heavy, in a process of its own. Only `client` and `protocol` are imported by Blender."""
