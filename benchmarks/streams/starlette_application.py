"""The event streams in ASGI: the reference. Knows no server."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.streams.hub import hub


async def events(request: Request) -> Response:
    """Stream from the event loop."""
    return StreamingResponse(hub.events(), media_type="text/event-stream")


async def plain(request: Request) -> Response:
    """Answer with a short string."""
    return PlainTextResponse("plain")


application = Starlette(routes=[Route("/events", events), Route("/plain", plain)])
