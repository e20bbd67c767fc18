"""The bodies of ``bodies.py`` as asyncio's frameworks stream them from plain generators. Knows no framework."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext

from compat_matrix.apps import support
from compat_matrix.apps.support import AsyncWire, for_ever


async def pattern(size: int) -> AsyncIterator[bytes]:
    """Give the body of ``/download``."""
    for piece in support.pattern(size):
        yield piece


async def lines(port: str) -> AsyncIterator[bytes]:
    """Give the body of ``/stream``."""
    async with AsyncWire(port) as wire:
        await wire.say("called")
        try:
            yield b"first\n"
            await wire.wait_for("go on")
            yield b"second\n"
            await wire.wait_for("go on")
            yield b"third\n"
        finally:
            await wire.say("finally")


async def ticks(port: str) -> AsyncIterator[bytes]:
    """Give the body of ``/endless``."""
    async with AsyncWire(port) as wire:
        await wire.say("called")
        try:
            for _ in for_ever():
                yield b"tick\n"
                # A server whose send() does not wait would hold the event loop for ever.
                await asyncio.sleep(0)
        finally:
            await wire.say("finally")


async def events(port: str | None) -> AsyncIterator[bytes]:
    """Give the body of ``/events``."""
    async with AsyncWire(port) if port else nullcontext() as wire:
        for number, data in enumerate(("one", "two", "three"), start=1):
            if wire and number > 1:
                await wire.wait_for("go on")
            yield f"id: {number}\nevent: tick\ndata: {data}\n\n".encode()


async def failing(port: str) -> AsyncIterator[bytes]:
    """Give the body of ``/error/after``."""
    async with AsyncWire(port) as wire:
        yield b"first"
        await wire.wait_for("fail")
        raise RuntimeError("after the first chunk")


async def short(port: str) -> AsyncIterator[bytes]:
    """Give the body of ``/error/short``, for which more is declared."""
    async with AsyncWire(port) as wire:
        yield b"first"
        await wire.wait_for("fail")
