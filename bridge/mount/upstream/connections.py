"""Connections to one upstream: made, limited in number, kept for the next request. Knows no HTTP."""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

import anyio
import httpcore
from anyio.lowlevel import current_token

from bridge.errors import BadGateway, GatewayTimeout, NoConnectionFree
from bridge.mount.upstream.wire import Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from bridge.mount.upstream.address import Address

# Seconds that an idle connection is kept. Servers close theirs after a while, Gunicorn first, after 2 s: a request that
# is sent at that moment is lost, and only some can be repeated.
_KEEP_ALIVE: Final = 1.5

_NO_DELAY: Final = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


class Connections:
    """Those of one event loop in one process.

    Args:
        address: where they go to.
        limit: how many at once, and how many WebSockets beside them.
        connect_timeout: seconds, for a place among them, and for each connection.
        ssl_context: for ``https``.
    """

    def __init__(
        self, address: Address, limit: int, connect_timeout: float, ssl_context: ssl.SSLContext | None
    ) -> None:
        self.process = os.getpid()
        self._address = address
        self._limit = limit
        self._connect_timeout = connect_timeout
        self._ssl_context = ssl_context
        # As Any: without anyio httpcore has another class of that name.
        self._backend: httpcore.AsyncNetworkBackend = cast("Any", httpcore).AnyIOBackend()
        self._places = {"http": anyio.Semaphore(limit), "websocket": anyio.Semaphore(limit)}
        self._idle: list[Wire] = []  # the one that was used last at the end; never more than the limit
        self._closed = False

    @asynccontextmanager
    async def place(self, kind: str) -> AsyncGenerator[None, None]:
        """Be one of those that may have a connection: an HTTP exchange, or a WebSocket.

        Raises:
            NoConnectionFree: none of them has ended for *connect_timeout* seconds.
        """
        places = self._places[kind]
        with anyio.move_on_after(self._connect_timeout) as waiting:
            await places.acquire()
        if waiting.cancelled_caught:
            raise NoConnectionFree(
                "The upstream server is busy; try again later.",
                f"all {self._limit} connections for {kind} are in use (option max_connections)",
            )
        try:
            yield
        finally:
            places.release()

    async def take(self, *, fresh: bool) -> Wire:
        """Return a connection: an idle one unless it is to be *fresh*, or a new one.

        Raises:
            BadGateway: the upstream cannot be reached.
            GatewayTimeout: it did not accept the connection in time.
        """
        while self._idle:
            wire = self._idle.pop()
            # One that was closed unnoticed has brothers that were: none of them is tried then.
            if not fresh and anyio.current_time() - wire.idle_since <= _KEEP_ALIVE and not wire.stale:
                return wire
            await wire.close()
        return await self.make()

    async def make(self) -> Wire:
        """Return a new connection; errors as those of :meth:`take`."""
        try:
            with anyio.fail_after(self._connect_timeout):
                return Wire(await self._connect())
        except TimeoutError:
            raise GatewayTimeout(
                "The upstream server did not accept a connection in time.",
                f"no connection after {self._connect_timeout:g} s (option connect_timeout)",
            ) from None
        except (httpcore.NetworkError, OSError) as error:
            raise BadGateway("The upstream server cannot be reached.", f"no connection: {error!r}") from error

    async def _connect(self) -> httpcore.AsyncNetworkStream:
        stream = await self._backend.connect_tcp(self._address.host, self._address.port, socket_options=_NO_DELAY)
        if self._ssl_context is None:
            return stream
        try:
            return await stream.start_tls(self._ssl_context, server_hostname=self._address.host)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await stream.aclose()
            raise

    async def give_back(self, wire: Wire) -> None:
        """Keep *wire* for another exchange, or close it."""
        if self._closed or not wire.next_request():
            await wire.close()
            return
        wire.idle_since = anyio.current_time()
        self._idle.append(wire)
        # The oldest goes first: what is needed no more shall not be open until the next rush.
        while anyio.current_time() - self._idle[0].idle_since > _KEEP_ALIVE:
            await self._idle.pop(0).close()

    async def close(self) -> None:
        """Close the idle ones; those in use are closed as they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()


class ConnectionsByLoop:
    """The connections of each event loop that one upstream is used on. Any event loop; does not block.

    They belong to the loop and the process that made them: a child process gets its own, and leaves its parent's alone.
    """

    def __init__(
        self, address: Address, limit: int, connect_timeout: float, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._options = (address, limit, connect_timeout, ssl_context)
        # Weak: trio's loops can only be told to have ended by that.
        self._by_loop: WeakKeyDictionary[object, Connections] = WeakKeyDictionary()

    def here(self) -> Connections:
        """Return those of the running event loop."""
        loop = current_token().native_token
        found = self._by_loop.get(loop)
        if found is None or found.process != os.getpid():
            self._forget_closed_loops()
            found = self._by_loop[loop] = Connections(*self._options)
        return found

    async def close_here(self) -> None:
        """Close those of the running event loop. It may ask for others later on."""
        found = self._by_loop.pop(current_token().native_token, None)
        if found is not None and found.process == os.getpid():
            await found.close()

    def _forget_closed_loops(self) -> None:
        # asyncio's transports know their loop, so that its entry here would keep it, and itself, for ever.
        for loop in list(self._by_loop):
            is_closed = getattr(loop, "is_closed", None)
            if is_closed is not None and is_closed():
                self._by_loop.pop(loop, None)
