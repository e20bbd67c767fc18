"""The ASGI application that echoes, as it is, for ASGI servers."""

from benchmarks.websocket.applications import echo_asgi as application

__all__ = ["application"]
