"""Moved."""

from compat_matrix.wire import TIMEOUT, Wire

__all__ = ["TIMEOUT", "Wire"]
