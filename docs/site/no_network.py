"""A site that loads nothing from elsewhere. A hook of MkDocs; knows no page."""

from __future__ import annotations

import logging
import re
from typing import Any

# What a browser loads by itself: scripts, images, frames and style sheets. Links that a reader follows are none.
_LOADED = re.compile(r"""<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")

_logger = logging.getLogger("mkdocs.hooks.no_network")


def on_post_page(output: str, page: Any, **context: Any) -> str:
    """Warn of each address outside of the site that the page makes a browser load; a strict build fails by it."""
    for address in loaded_from_elsewhere(output):
        _logger.warning("%s loads %s.", page.file.src_uri, address)
    return output


def loaded_from_elsewhere(html: str) -> list[str]:
    """Return the addresses outside of the site that *html* makes a browser load."""
    return _LOADED.findall(html)
