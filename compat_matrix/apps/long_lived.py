"""What the applications with long-lived responses await. Knows bridge, but no framework."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext

import anyio
from anyio.lowlevel import checkpoint

from bridge import ServerSentEvent
from compat_matrix.apps.support import AsyncWire

EVENTS = (
    ServerSentEvent("one\nmore", event="tick", id="1", retry=1500),
    ServerSentEvent("two", id="2"),
    ServerSentEvent("three"),
)
"""Of ``/long/events``."""

LINKS = [("Link", "</style.css>; rel=preload; as=style")]
"""Of ``/hints``."""


async def events(port: str | None) -> AsyncIterator[ServerSentEvent]:
    """Give the events of ``/long/events``, at once if there is no port."""
    async with AsyncWire(port) if port else nullcontext() as wire:
        if wire:
            await wire.say("called")
        try:
            for number, event in enumerate(EVENTS):
                if wire and number > 0:
                    await wire.wait_for("go on")
                yield event
        finally:
            if wire:
                await wire.say("finally")


async def failing(port: str) -> AsyncIterator[ServerSentEvent]:
    """Give the events of ``/long/fails``, of which there is one."""
    async with AsyncWire(port) as wire:
        yield EVENTS[0]
        await wire.wait_for("fail")
        raise RuntimeError("after the first event")


async def result(port: str) -> str:
    """Return the body of ``/long/wait``."""
    async with AsyncWire(port) as wire:
        await wire.say("called")
        try:
            await wire.wait_for("go on")
        finally:
            await wire.say("finally")
    return "caf\xe9"


async def never() -> None:
    """Be what ``/long/wait/over`` waits for."""
    await anyio.sleep_forever()


async def broken() -> None:
    """Be what ``/long/wait/fails`` waits for."""
    await checkpoint()
    raise RuntimeError("while the client waited")
