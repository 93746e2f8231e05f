# SPDX-License-Identifier: GPL-3.0-or-later
"""R-Net (Deng et al. 2019; Sun et al. 2023, section 3.2): coefficients of the Basel Face Model from one picture, as a start for the solve."""
