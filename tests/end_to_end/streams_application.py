"""Streams that the test leads through a wire; run in the server's process, behind the bridge or natively.

Plain PEP 3333, so that nothing stands between the server and what is asserted.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import anyio
import anyio.lowlevel

import bridge
from compat_matrix.apps.support import AsyncWire, Wire, for_ever

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

THREADS = 2


async def events(wire: AsyncWire) -> AsyncIterator[bridge.ServerSentEvent]:
    """Three, each when the test says so."""
    async with wire:
        await wire.say("begun")
        for number in range(3):
            await wire.wait_for("next")
            yield bridge.ServerSentEvent(str(number), id=str(number))
        await wire.say("ended")


async def held(wire: AsyncWire) -> AsyncIterator[bytes]:
    """One, and then nothing: what ends it is told."""
    async with wire:
        yield b"first"
        await hold(wire)


async def endless(wire: AsyncWire) -> AsyncIterator[bytes]:
    """One, and then without end, once the client has left."""
    async with wire:
        yield b"first"
        try:
            await wire.wait_for("client left")
            for _ in for_ever():
                yield b"x" * 1000
                await anyio.lowlevel.checkpoint()
        finally:
            await wire.say("closed")


async def kinds(wire: AsyncWire) -> AsyncIterator[Any]:
    """Each kind of item."""
    yield b"\xff\x00"
    yield "é"
    yield b""
    yield bridge.ServerSentEvent("one\ntwo", event="é", id="", retry=5)
    yield b"x" * 100_000


async def result(wire: AsyncWire) -> str:
    """A text, when the test says so."""
    async with wire:
        await hold(wire)
    return "é"


async def hold(wire: AsyncWire) -> None:
    """Wait until the test says "go on", and tell it if that is cancelled."""
    await wire.say("waits")
    try:
        await wire.wait_for("go on")
    except anyio.get_cancelled_exc_class():
        await wire.say("cancelled")
        raise


STREAMS = {"/events": events, "/held": held, "/endless": endless, "/kinds": kinds}


class Closing:
    """A body whose close() is told to the test, as a middleware has it that keeps account of requests."""

    def __init__(self, body: Any, wire: Wire) -> None:
        self._body = body
        self._wire = wire

    def __iter__(self) -> Any:
        return iter(self._body)

    def close(self) -> None:
        with self._wire:
            self._body.close()
            self._wire.say("close")


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer ``plain`` where there is no stream."""
    path = environ["PATH_INFO"]
    query = parse_qs(environ["QUERY_STRING"])
    wire = AsyncWire(query.get("wire", ["0"])[0])
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    if path in STREAMS:
        body = bridge.stream(STREAMS[path](wire))
        return Closing(body, Wire(query["closing"][0])) if "closing" in query else body
    if path == "/wait":
        return bridge.wait(lambda: result(wire))
    if path == "/timeout":
        return bridge.wait(anyio.sleep_forever, timeout=0.05)
    if path == "/stats":
        return [json.dumps(asdict(served.stats())).encode()]
    return [b"plain"]


# Granian does not tell each application that its client has left once it shuts down: the bridge ends what is left then.
served = bridge.WsgiToAsgi(application, threads=THREADS, drain_timeout=0.5)
