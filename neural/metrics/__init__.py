# SPDX-License-Identifier: GPL-3.0-or-later
"""The papers' metrics, one small module each. Each function's docstring has its equation and where it is from.

A metric whose weights are missing has no number: `measure.missing` says what it needs and from where.
"""
