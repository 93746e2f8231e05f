# SPDX-License-Identifier: GPL-3.0-or-later
"""StyleGAN2 (Karras et al. 2020) and the pSp encoder (Richardson et al. 2021) in plain PyTorch: level 2 of Sun et al. 2023 in the paper's own way."""
