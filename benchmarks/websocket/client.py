"""The process that loads a server with WebSockets. Knows no server.

``python -m benchmarks.websocket.client rate PORT SECONDS IN_FLIGHT`` prints messages per second that came back.
``python -m benchmarks.websocket.client latency PORT SECONDS`` prints microseconds: see Latencies.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib import import_module
from typing import NamedTuple

from benchmarks.websocket.connection import Connection, EchoError

# Of a rate.
CONNECTIONS = 32
# Of the latency under a low load, and how often each of them sends.
MANY = 100
PERIOD = 0.1

# Seconds under load before the measured time.
WARM_UP = 0.3
# Seconds for the first echoes, for the last ones, and for the answers to a close.
PATIENCE = 10.0


class Latencies(NamedTuple):
    """Microseconds from the write of a message to its echo.

    Attributes:
        half: the median of one connection that keeps one message under way.
        nearly_all: its 99th percentile.
        nearly_all_of_many: the 99th percentile of MANY connections, each with a message every PERIOD seconds, evenly
            spread. Messages leave when they are due, whether or not earlier ones have come back.
    """

    half: float
    nearly_all: float
    nearly_all_of_many: float


async def rate(port: int, seconds: float, in_flight: int) -> float:
    """Keep *in_flight* messages under way on each of CONNECTIONS; return messages per second that came back.

    Raises:
        EchoError: a byte that came back was wrong, or a connection ended.
        TimeoutError: the server stopped.
    """
    async with _connected(port, range(CONNECTIONS)) as connections:
        for connection in connections:
            connection.saturate(in_flight)
        await _pass(WARM_UP, connections)
        started, before = time.perf_counter(), _completed(connections)
        await _pass(seconds, connections)
        return (_completed(connections) - before) / (time.perf_counter() - started)


async def latency(port: int, seconds: float) -> Latencies:
    """Return the latencies; each part of it takes half of *seconds*. Raises as rate() does."""
    async with _connected(port, range(1)) as one:
        one[0].saturate(1)
        await _pass(WARM_UP, one)
        one[0].timing = True
        await _pass(seconds / 2, one)
        one[0].stop()
        await asyncio.wait_for(one[0].idle, PATIENCE)
        # The one stays: a thread that just ends would be missing to servers that have one for each of MANY.
        async with _connected(port, range(1, MANY)) as others:
            many = [*one, *others]
            pace = asyncio.create_task(_pace(many))
            try:
                await _pass(WARM_UP, many)
                of_one, one[0].latencies = one[0].latencies, []
                for connection in many:
                    connection.timing = True
                await _pass(max(seconds / 2, 2 * PERIOD), many)
                if pace.done():
                    pace.result()
            finally:
                pace.cancel()
    of_many = [taken for connection in many for taken in connection.latencies]
    return Latencies(*(_percentile(*asked) / 1000 for asked in ((of_one, 50), (of_one, 99), (of_many, 99))))


async def _pace(connections: Sequence[Connection]) -> None:
    """Let one connection after the other send, so that each does every PERIOD."""
    loop = asyncio.get_running_loop()
    gap = PERIOD / len(connections)
    due = loop.time()
    while True:
        for connection in connections:
            connection.send()
            due += gap
            # When it is late it sends without a pause: a slow server gets no easier load.
            await asyncio.sleep(max(0.0, due - loop.time()))


@asynccontextmanager
async def _connected(port: int, numbers: range) -> AsyncIterator[list[Connection]]:
    """Open connections and have the first message of each echoed; at the end await what is under way and close."""
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []
    for number in numbers:
        _, connection = await loop.create_connection(partial(Connection, port, number), "127.0.0.1", port)
        connections.append(connection)
    await asyncio.wait_for(asyncio.gather(*(connection.ready for connection in connections)), PATIENCE)
    yield connections
    for connection in connections:
        connection.stop()
    await asyncio.wait_for(asyncio.gather(*(connection.idle for connection in connections)), PATIENCE)
    for connection in connections:
        connection.close()
    await asyncio.wait_for(asyncio.gather(*(connection.ended for connection in connections)), PATIENCE)


async def _pass(seconds: float, connections: Sequence[Connection]) -> None:
    """Let *seconds* pass, unless a connection fails before that."""
    ends = [connection.ended for connection in connections]
    done, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for end in done:
        end.result()


def _completed(connections: Sequence[Connection]) -> int:
    return sum(connection.completed for connection in connections)


def _percentile(values: list[int], percent: int) -> int:
    if not values:
        raise EchoError("no message came back in the measured time")
    return sorted(values)[len(values) * percent // 100]


def main() -> None:
    """Print the figures as the last line of standard output."""
    kind, port, seconds, *in_flight = sys.argv[1:]
    with suppress(ImportError):
        asyncio.set_event_loop_policy(import_module("uvloop").EventLoopPolicy())
    try:
        if kind == "rate":
            print(asyncio.run(rate(int(port), float(seconds), int(*in_flight))))
        else:
            print(*asyncio.run(latency(int(port), float(seconds))))
    except EchoError as error:
        sys.exit(str(error))
    except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
        sys.exit(f"nothing came back for {PATIENCE:g} s")


if __name__ == "__main__":
    main()
