"""Argument types that several commands share."""

from __future__ import annotations

import argparse


def true_or_false(text: str) -> bool:
    """``true`` or ``false``, as ESPnet's options are written."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
