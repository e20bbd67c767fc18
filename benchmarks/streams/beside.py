"""What the client asks beside the application, since that may have no thread left. Knows no framework."""

from __future__ import annotations

import time

from benchmarks.protocols import AsgiApplication, Message, Receive, Scope, Send
from benchmarks.streams.hub import hub


def with_control(application: AsgiApplication) -> AsgiApplication:
    """Answer ``/tell`` and ``/open`` on the event loop, and pass everything else on.

    ``/tell`` makes an event and answers with the time of it, in nanoseconds of the monotonic clock, which all
    processes share. ``/open`` answers with the number of calls of the application that are under way.
    """
    calls = 0

    async def controlled(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal calls
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["path"] == "/tell":
            made = time.monotonic_ns()
            hub.tell()
            await _answer(send, made)
        elif scope["path"] == "/open":
            await _answer(send, calls)
        else:
            calls += 1
            try:
                await application(scope, receive, send)
            finally:
                calls -= 1

    return controlled


async def _answer(send: Send, number: int) -> None:
    body = b"%d" % number
    start: Message = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-length", b"%d" % len(body))],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            hub.end()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
