"""Who makes the requests of these scenarios: a driver through a wrapper, or the reference without any."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from benchmarks.asgi_in_process.driver import Request, requests_to
from benchmarks.asgi_wrappers import WRAPPERS, Wrap
from benchmarks.in_process.driver import http_scope
from benchmarks.protocols import AsgiApplication, Message

# From an application and a number of threads to the requests of each thread.
Prepare = Callable[[AsgiApplication, int], list[Request]]


def _wrapped(wrap: Wrap, application: AsgiApplication, threads: int) -> list[Request]:
    return [requests_to(wrap(application))] * threads


def _bare(application: AsgiApplication, threads: int) -> list[Request]:
    """Make requests without WSGI: the reference, not a bridge.

    One ready loop for each thread, one ready-made scope, no environ, and nothing becomes of what is sent.
    """
    return [_on_a_loop(application) for _ in range(threads)]


def _on_a_loop(application: AsgiApplication) -> Request:
    loop = asyncio.new_event_loop()
    scope = http_scope("/")
    received = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def count(message: Message) -> None:
        nonlocal received
        received += len(message.get("body", b""))

    async def send(message: Message) -> None:
        pass

    # One request is looked at; in the measured ones that would be work which the reference is not to have.
    loop.run_until_complete(application(scope, receive, count))

    def request() -> int:
        loop.run_until_complete(application(scope, receive, send))
        return received

    return request


CONTESTANTS: dict[str, Prepare] = {
    **{name: partial(_wrapped, wrap) for name, wrap in WRAPPERS.items()},
    "run_until_complete": _bare,
}

NOTES: dict[str, str] = {
    "run_until_complete": "reference: one ready loop a thread, no environ, no response",
}
