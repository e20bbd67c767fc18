"""The trivial application in pure ASGI."""

from benchmarks.applications import hello_asgi as application

__all__ = ["application"]
