"""Links of the pages to files of the repository, which the site does not hold. A hook of MkDocs; knows no page."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(\.\./([^)#\s]+)(?:#[^)\s]*)?\)")

# MkDocs counts what is logged below its own name, and a strict build fails by it.
_logger = logging.getLogger("mkdocs.hooks.repository_links")


def on_page_markdown(markdown: str, **context: Any) -> str:
    """Turn each link to a file of the repository into the file's path, and warn of one that leads nowhere."""
    return _LINK.sub(lambda link: name_file(link[1], link[2]), markdown)


def name_file(text: str, path: str) -> str:
    """Return a link's text without the link; it names the file.

    Args:
        text: of the link, in Markdown.
        path: of the file, from the root of the repository.
    """
    if not (ROOT / path).exists():
        _logger.warning("A page links to ../%s, which is not in the repository.", path)
    return text if path in text else f"{text} (`{path}`)"
