"""Standard output, kept for the report alone. Knows no report."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


def take_stdout() -> TextIO:
    """Return the standard output, and let everything else go to standard error, for the rest of the process.

    What an application prints, or a program that it starts, at import, in requests or at exit, would corrupt a report
    that another program reads.
    """
    stdout = sys.stdout
    sys.stdout = sys.stderr
    try:
        number, errors = stdout.fileno(), sys.stderr.fileno()
    except (OSError, io.UnsupportedOperation, AttributeError):  # no file: a test's, or that of a notebook
        return stdout
    stdout.flush()
    kept = os.dup(number)
    os.dup2(errors, number)
    return open(kept, "w", encoding=stdout.encoding, errors="backslashreplace")
