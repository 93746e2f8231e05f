# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies: the experiments of the papers as commands, each of which writes one report (docs/metrics.md)."""
