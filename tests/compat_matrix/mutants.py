"""Adapters that are broken on purpose, one mutation each.

``"tests.compat_matrix.mutants:<name>"`` is an adapter of the matrix for each name in ``MUTANTS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.compat_matrix import (
    mutants_behaviour,
    mutants_downloads,
    mutants_long_lived,
    mutants_requests,
    mutants_responses,
    mutants_uploads,
    mutants_websockets,
)
from tests.compat_matrix.mutating import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant"]

# Importing them registers them.
_MODULES = (
    mutants_requests,
    mutants_uploads,
    mutants_responses,
    mutants_downloads,
    mutants_behaviour,
    mutants_websockets,
    mutants_long_lived,
)


def __getattr__(name: str) -> Callable[[Any], Any]:
    """Give each mutant to ``composition.load``."""
    if name not in MUTANTS:
        raise AttributeError(f"no mutant {name!r}")
    return MUTANTS[name].wrap
