"""Docstrings as the API page shows them. An extension of griffe; knows no page."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|attr|data|exc):`~?([^`]+)`")


class ForReaders(griffe.Extension):
    """Takes the roles of Sphinx off, and leaves out what modules say: that is for who works on them."""

    def on_object(self, *, obj: griffe.Object, **context: Any) -> None:
        """Rewrite the docstring of *obj*."""
        if obj.docstring is None:
            return
        if obj.is_module:
            obj.docstring = None
        else:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
