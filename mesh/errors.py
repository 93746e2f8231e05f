# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that reaches a user."""


class MienError(Exception):
    """A failure told in one sentence that names the file, frame or setting and what to do.

    Raised by every layer for bad input; the command line prints it and exits with 1, the engine sends it as an
    ERROR message, operators report it and return CANCELLED. Anything else that escapes is a defect of ours.
    """
