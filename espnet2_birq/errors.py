"""The error a user can act on, and how a command reports it."""

from __future__ import annotations

import sys
from collections.abc import Callable


class BadInputError(Exception):
    """Input that a command cannot use: one line saying what is wrong, where, and what to do."""


def run_command(name: str, main: Callable[[], None]) -> None:
    """Run ``main`` as command ``name``; turn an expected failure into one line and exit status 1.

    Operating-system errors (full disk, missing permission, unreadable file) name their file themselves, so they are
    reported in the same way. Anything else is a defect of ours and keeps its traceback.
    """
    try:
        main()
    except BadInputError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{name}: error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
