"""The Python blocks of a page of docs/, by their headings. Runs nothing."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"

_PART = re.compile(
    r"^#+ (?P<heading>[^\n]+)$|^```(?P<kind>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: str) -> dict[str, list[str]]:
    """Return the Python blocks below each heading of *page*, in their order; headings without one are left out."""
    found: dict[str, list[str]] = {}
    heading = ""
    text = (DOCS / page).read_text(encoding="utf-8")
    for match in _PART.finditer(text):
        if match["heading"]:
            heading = match["heading"]
        elif match["kind"] == "python":
            found.setdefault(heading, []).append(match["code"])
    return found
