"""The console script ``gristmill``."""

from __future__ import annotations

import signal
import sys

from . import _native


def main() -> None:
    """Runs the command line of this process, and exits with the command's code."""
    # Python would keep the signal until the command has ended. One that was ignored from the start stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.command(sys.argv[1:]))
