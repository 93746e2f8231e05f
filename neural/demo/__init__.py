# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's own plate: a portrait that moves, blinks and talks, made by the product's own solve and renderer."""
