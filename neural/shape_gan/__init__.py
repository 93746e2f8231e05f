# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 1's networks, losses, training data and training (Sun et al. 2023, section 3.3). Inference is mesh/shape_gan.py."""
