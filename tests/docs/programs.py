"""A page of docs/ as one program: its Python blocks, one after another. Starts no server."""

from pathlib import Path
from typing import Any

from tests.docs.pages import DOCS, blocks


def pages() -> list[Path]:
    """Return every page."""
    return sorted(DOCS.glob("*.md"))


def run(page: str) -> dict[str, Any]:
    """Run the blocks of *page* in a namespace of their own and return what they define."""
    names: dict[str, Any] = {"__name__": "example"}
    for heading, codes in blocks(page).items():
        for code in codes:
            exec(compile(code, f"docs/{page}, {heading}", "exec"), names)
    return names
