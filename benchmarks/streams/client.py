"""The process that opens thousands of streams. Knows no server.

``python -m benchmarks.streams.client held PORT TARGET PID`` prints streams that were held, and KiB of each.
``python -m benchmarks.streams.client events PORT TARGET PID`` prints events per second that arrived.
``python -m benchmarks.streams.client latency PORT TARGET PID`` prints milliseconds: see Latencies.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib import import_module
from typing import NamedTuple

from benchmarks.memory.resident import resident
from benchmarks.model import NotMeasured
from benchmarks.streams.stream import Stream, StreamError

STREAMS = 5_000
# Streams that wait for their first event while more are opened.
UNDER_WAY = 32
# Events, each made when all streams have the one before.
EVENTS = 10
# Requests of a plain view, one after the other on one connection.
REQUESTS = 1_000
# The same before the first figure of memory is taken.
WARM_UP = 100

# Seconds without any progress.
PATIENCE = 3.0


class Latencies(NamedTuple):
    """Milliseconds.

    Attributes:
        event_nearly_all: from the making of an event to its arrival at a stream, 99th percentile of all streams.
        event_half: the median of these.
        first_half: from the connection's opening to the first event, median.
        first_nearly_all: 99th percentile of these.
        plain_idle: of a plain view before there are streams, 99th percentile.
        plain_held: of a plain view while all streams wait, 99th percentile.
        ended: from the first close of a client to the end of the last call of the application.
    """

    event_nearly_all: float
    event_half: float
    first_half: float
    first_nearly_all: float
    plain_idle: float
    plain_held: float
    ended: float


async def held(port: int, target: str, pid: int) -> tuple[float, float]:
    """Return the number of streams that have got their first event, and the KiB by which the server grew for each."""
    await _plain(port, WARM_UP)
    before = resident(pid)
    async with _opened(port, target) as streams:
        if not streams:
            raise StreamError(f"no stream was answered within {PATIENCE:g} s")
        return len(streams), (resident(pid) - before) / len(streams) / 1024


async def events(port: int, target: str) -> float:
    """Return events per second that arrived: all streams get EVENTS."""
    async with _all_opened(port, target) as streams:
        began = time.monotonic_ns()
        await _tell(port, streams)
        return len(streams) * EVENTS / (time.monotonic_ns() - began) * 1e9


async def latency(port: int, target: str) -> Latencies:
    """Return the latencies."""
    idle = await _plain(port, REQUESTS)
    async with _all_opened(port, target) as streams:
        loaded = await _plain(port, REQUESTS)
        arrived = await _tell(port, streams)
        first = [stream.first for stream in streams]
        began = time.monotonic_ns()
    # Asked again at once: each answer is a turn of the server's loop.
    while await _ask(port, "/open") != b"0":
        if time.monotonic_ns() - began > 10 * PATIENCE * 1e9:
            raise StreamError(f"calls of the application still ran {10 * PATIENCE:g} s after the clients had left")
    ended = time.monotonic_ns() - began
    asked = ((arrived, 99), (arrived, 50), (first, 50), (first, 99), (idle, 99), (loaded, 99), ([ended], 50))
    return Latencies(*(_percentile(*each) / 1e6 for each in asked))


async def _tell(port: int, streams: Sequence[Stream]) -> list[int]:
    """Let EVENTS be made one after the other; return the nanoseconds that each took to each stream."""
    arrived = []
    for number in range(1, EVENTS + 1):
        waiting = [stream.expect(number) for stream in streams]
        made = int(await _ask(port, "/tell"))
        await asyncio.wait_for(asyncio.gather(*waiting), 10 * PATIENCE)
        arrived += [stream.arrived - made for stream in streams]
    return arrived


@asynccontextmanager
async def _all_opened(port: int, target: str) -> AsyncIterator[list[Stream]]:
    async with _opened(port, target) as streams:
        if len(streams) < STREAMS:
            raise StreamError(f"held {len(streams)} of {STREAMS:,} streams, then answered nothing for {PATIENCE:g} s")
        yield streams


@asynccontextmanager
async def _opened(port: int, target: str) -> AsyncIterator[list[Stream]]:
    """Open STREAMS, or as many as the server answers; those that have their first event are given."""
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    under_way: set[asyncio.Future[int]] = set()
    while len(streams) < STREAMS or under_way:
        if len(streams) < STREAMS and len(under_way) < UNDER_WAY:
            _, stream = await loop.create_connection(partial(Stream, port, target), "127.0.0.1", port)
            streams.append(stream)
            under_way.add(stream.came)
            continue
        done, under_way = await asyncio.wait(under_way, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
        for future in done:
            future.result()
    try:
        yield [stream for stream in streams if stream.first]
    finally:
        for stream in streams:
            stream.close()


async def _plain(port: int, count: int) -> list[int]:
    """Return the nanoseconds of each of *count* requests of the plain view."""
    taken = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for _ in range(count):
            began = time.monotonic_ns()
            writer.write(b"GET /plain HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            if not head.startswith(b"HTTP/1.1 200"):
                raise StreamError(f"the plain view was answered with {head[:40]!r}")
            await reader.readexactly(len(b"plain"))
            taken.append(time.monotonic_ns() - began)
    finally:
        writer.close()
    return taken


async def _ask(port: int, target: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 10 * PATIENCE)
    finally:
        writer.close()
    return answer.partition(b"\r\n\r\n")[2]


def _percentile(values: Sequence[int], percent: int) -> int:
    return sorted(values)[len(values) * percent // 100]


def main() -> None:
    """Print the figures as the last line of standard output."""
    kind, port, target, pid = sys.argv[1:]
    # Thousands of streams are looked through at each collection, and that pause would count as the server's.
    gc.disable()
    with suppress(ImportError):
        asyncio.set_event_loop_policy(import_module("uvloop").EventLoopPolicy())
    try:
        if kind == "held":
            print(*asyncio.run(held(int(port), target, int(pid))))
        elif kind == "events":
            print(asyncio.run(events(int(port), target)))
        else:
            print(*asyncio.run(latency(int(port), target)))
    except (NotMeasured, StreamError) as error:
        sys.exit(str(error))
    except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
        sys.exit("an answer or an event did not come")


if __name__ == "__main__":
    main()
