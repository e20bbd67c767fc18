"""The commands of a page of docs/, and its other blocks by their kind. Runs nothing."""

import re

from tests.docs.pages import DOCS


def fenced(page: str, kind: str) -> list[str]:
    """Return the blocks of *page* that are marked as of *kind*."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """Return the commands of *page*, one line each, continued ones joined, without comments."""
    joined = re.sub(r"\\\n\s*", "", "".join(fenced(page, "sh")))
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
