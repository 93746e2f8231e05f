# SPDX-License-Identifier: GPL-3.0-or-later
"""Face models of others, read from the user's own copies and kept in Mien's format in the model folder."""
