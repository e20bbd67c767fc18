"""The Flask application that is measured: one plain view, one asynchronous view. Knows no server."""

from __future__ import annotations

import asyncio

from flask import Flask

application = Flask(__name__)


@application.get("/")
def plain() -> str:
    """Answer with a short string."""
    return "Hello"


@application.get("/async")
async def asynchronous() -> str:
    """Answer after one turn of the event loop, so that the view is really suspended."""
    await asyncio.sleep(0)
    return "Hello"
