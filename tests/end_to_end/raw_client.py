"""Moved."""

from compat_matrix.client import TIMEOUT, RawClient, Response

__all__ = ["TIMEOUT", "RawClient", "Response"]
