"""Runs one measuring process and reads the figure it prints. Knows no scenario."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.model import NotMeasured
from benchmarks.protocols import REPOSITORY

# Seconds that a measuring process may take beyond the time it measures: start, imports, warm-up, end.
GRACE = 30.0

_UNWANTED = (
    "PYTHONASYNCIODEBUG",
    "PYTHONDEVMODE",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONTRACEMALLOC",
    "PYTHONWARNINGS",
)


def child_environment() -> dict[str, str]:
    """Return the environment of a measuring process: ours, without switches that slow Python down."""
    return {name: value for name, value in os.environ.items() if name not in _UNWANTED}


def python_figure(arguments: list[str], seconds: float) -> float:
    """Run ``python *arguments*`` in the repository and return the number on its last line; see python_figures()."""
    figures = python_figures(arguments, seconds)
    if len(figures) != 1:
        raise NotMeasured(f"expected one number, got {len(figures)}")
    return figures[0]


def python_figures(arguments: list[str], seconds: float) -> tuple[float, ...]:
    """Run ``python *arguments*`` in the repository and return the numbers on its last line.

    Args:
        seconds: how long the process measures; it has that and GRACE before it is killed.

    Raises:
        NotMeasured: it failed, printed anything but numbers, or ran out of time; with its last line of error.
    """
    limit = seconds + GRACE
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"no figure within {limit:g} s") from None
    if done.returncode != 0:
        raise NotMeasured(last_line(done.stderr) or f"exit status {done.returncode}")
    try:
        return tuple(float(word) for word in last_line(done.stdout).split())
    except ValueError:
        raise NotMeasured(f"expected numbers, got {last_line(done.stdout)!r}") from None


def last_line(text: str) -> str:
    """Return the last line of *text* that is not blank, or ``""``."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
