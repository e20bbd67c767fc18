"""The FastAPI application that is measured: the tutorial's ``def`` endpoint, run in a thread. Knows no server."""

from __future__ import annotations

from fastapi import FastAPI

application = FastAPI()


@application.get("/")
def read_root() -> dict[str, str]:
    """Answer with a little JSON."""
    return {"Hello": "Gilbert"}
