"""An upstream, played by a test byte by byte, in the event loop of the test. Knows no bridge but its Upstream."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSAttribute, TLSStream

from bridge.mount.upstream import Upstream
from tests.asgi import TIMEOUT, FakeLifespan


class Line:
    """One connection as the upstream has it."""

    def __init__(self, stream: ByteStream, number: int) -> None:
        self.number = number  # of the connection, from 1 on
        self._stream = stream
        self._buffer = b""

    async def head(self) -> bytes:
        """The next request up to the end of its headers."""
        return await self.until(b"\r\n\r\n")

    async def until(self, end: bytes) -> bytes:
        """All up to and with *end*."""
        while end not in self._buffer:
            self._buffer += await self._stream.receive()
        found, _, self._buffer = self._buffer.partition(end)
        return found + end

    async def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += await self._stream.receive()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    async def skip(self, size: int) -> None:
        size -= len(self._buffer)
        self._buffer = b""
        while size > 0:
            size -= len(await self._stream.receive())

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self._stream.send(piece)

    async def answer(self, body: bytes = b"", *headers: bytes, status: bytes = b"200 OK") -> None:
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body]
        await self.say(b"\r\n".join(lines))

    async def rest(self) -> bytes:
        """All that comes before the connection's end, however that is."""
        try:
            while True:
                self._buffer += await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return self._buffer

    async def receive(self) -> bytes:
        return await self._stream.receive()

    async def records(self, *records: bytes) -> None:
        """Say each in a TLS record of its own, all at once."""
        secure = self._stream.extra(TLSAttribute.ssl_object)
        for record in records[:-1]:
            secure.write(record)
        await self._stream.send(records[-1])

    async def end(self, *, notify: bool) -> None:
        """End a connection over TLS, with its close_notify or as anybody on the way can do it."""
        stream = cast("TLSStream", self._stream)
        if notify:
            await stream.unwrap()
        else:
            await cast("ByteStream", stream.transport_stream).send_eof()

    async def reset(self) -> None:
        """End the connection as a process that is killed does, with what it has not read."""
        raw: Any = self._stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self._stream.aclose()


class Played:
    """The upstream of one test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connections = 0
        self.open = 0
        self.upstream: Upstream  # the application under test
        self.changed = anyio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until *condition* is true; it is looked at when a connection begins or ends."""
        with anyio.fail_after(TIMEOUT):
            while not condition():
                await self.changed.wait()

    def change(self, connections: int) -> None:
        self.open += connections
        self.connections += max(connections, 0)
        self.changed.set()
        self.changed = anyio.Event()


@asynccontextmanager
async def played(
    handle: Callable[[Line], Awaitable[object]], *, path: str = "", tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Played]:
    """Have each connection handled beside the block, and an ``Upstream`` that makes them; its lifespan ends with it."""
    errors: list[Exception] = []  # kept from the task group, which would make a group of them
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        scheme = "http" if tls is None else "https"
        server = Played(f"{scheme}://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")
        server.upstream = Upstream(server.url + path, **options)

        async def serve(connection: SocketStream) -> None:
            server.change(1)
            stream: ByteStream = connection
            try:
                async with connection:
                    if tls is not None:
                        stream = await TLSStream.wrap(
                            connection, server_side=True, ssl_context=tls, standard_compatible=False
                        )
                    await handle(Line(stream, server.connections))
            except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                pass  # the other side has ended the connection, which is what most tests end with
            except Exception as error:
                errors.append(error)
            server.change(-1)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve, tasks)
            try:
                async with FakeLifespan().running(server.upstream):
                    yield server
            except Exception as error:
                errors.append(error)
            tasks.cancel_scope.cancel()
    if errors:
        raise errors[0]
