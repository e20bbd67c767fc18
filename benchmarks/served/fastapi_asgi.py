"""The FastAPI application as it is, for ASGI servers."""

from benchmarks.fastapi_application import application

__all__ = ["application"]
