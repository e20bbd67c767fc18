"""The WSGI application that echoes, through Hypercorn's wrapper."""

from benchmarks.protocols import Receive, Scope, Send
from benchmarks.websocket.applications import echo
from benchmarks.wrappers import through_hypercorn


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Wrap for each request, since it has to be done on the event loop that serves."""
    await through_hypercorn(echo)(scope, receive, send)
