"""What people and machines read of a run."""

from __future__ import annotations

from pathlib import Path

from compat_matrix.reports import junit, markdown, page, terminal
from compat_matrix.results import Results, replace

__all__ = ["junit", "markdown", "page", "terminal", "write"]


def write(results: Results, directory: Path) -> None:
    """Write matrix.json, matrix.xml (JUnit) and matrix.html."""
    directory.mkdir(parents=True, exist_ok=True)
    results.save(directory / "matrix.json")
    replace(directory / "matrix.xml", junit.render(results))
    replace(directory / "matrix.html", page.render(results))
