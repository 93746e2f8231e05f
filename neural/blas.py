# SPDX-License-Identifier: GPL-3.0-or-later
"""Imported before numpy by whatever starts the engine: one thread for numpy's linear algebra, unless the user has set another number.

Frames are spread over the cores by `parallel`. OpenBLAS's own threads add nothing to that for matrices of this size, wait in busy loops for each
other (a solve took twelve times as long beside another program), and sum in an order that depends on their number: the same input would give
other bytes.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
