"""Upstream: which scope goes where, and what is answered without the upstream. Knows no HTTP syntax."""

from __future__ import annotations

import logging
import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bridge.errors import ApplicationError, ConfigurationError, RequestRefused, ServerError, UpstreamFailure
from bridge.mount.upstream.address import parse_address
from bridge.mount.upstream.request import build_request
from bridge.mount.upstream.response import messages_of

if TYPE_CHECKING:
    from bridge.mount.upstream.request import RequestHead
    from bridge.protocols import Receive, Scope, Send

_logger = logging.getLogger("bridge")


class Upstream:
    """Pass requests on to an HTTP server of its own: an ASGI application.

    For what is neither a WSGI nor an ASGI application, so that it can be mounted beside those that are. The upstream is
    asked for the path below the mount, with the path of *url* before it: mounted at ``/old``,
    ``Upstream("http://127.0.0.1:9000")`` asks for ``/x`` when ``/old/x`` was requested, and
    ``Upstream("http://127.0.0.1:9000/old")`` for ``/old/x``.

    Bodies are streamed both ways, byte for byte; redirects and cookies are the client's business.

    Args:
        url: ``http`` or ``https``, of which WebSockets are passed through as well.
        keep_host: whether the upstream finds the Host that the client asked for, or the one of *url*.
        trust_forwarded: whether ``X-Forwarded-For``, ``-Proto``, ``-Host`` and ``-Prefix`` of a request are added to.
            If not, they are replaced, since a client can write there what it wants.
        max_connections: how many requests are under way at once, and how many WebSockets beside them, on each event
            loop. One more waits for *connect_timeout* and is answered 503.
        connect_timeout: seconds, until 504.
        timeout: seconds that the upstream may neither take nor give anything while it is its turn. After that the
            request is answered 504, or its response is cut; a WebSocket, which may be silent, ends with the code 1011
            if there is something that it does not take. None: no limit.
        max_message_size: bytes of one WebSocket message from the upstream, which is put together in memory. A longer
            one ends the connection with the code 1009.
        ssl_context: for ``https``, where the authorities that the system knows are not the right ones.

    Raises:
        ConfigurationError: an option has a value that it cannot have, or the extra ``upstream`` is not installed.

    Source: RFC 9110, 7.6; RFC 9112; RFC 6455; ASGI specification 3.0, "HTTP & WebSocket" and "Lifespan".
    """

    def __init__(
        self,
        url: str,
        *,
        keep_host: bool = True,
        trust_forwarded: bool = False,
        max_connections: int = 100,
        connect_timeout: float = 5.0,
        timeout: float | None = 60.0,
        max_message_size: int = 16 * 1024 * 1024,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._address = parse_address(url)
        _check_number("max_connections", max_connections)
        _check_number("max_message_size", max_message_size)
        _check_seconds("connect_timeout", connect_timeout)
        if timeout is not None:
            _check_seconds("timeout", timeout)
        missing = [name for name in ("h11", "httpcore", "wsproto") if find_spec(name) is None]
        if missing:
            raise ConfigurationError(
                f"Upstream needs {' and '.join(missing)}: pip install 'wsgi-asgi-bridge[upstream]'"
            )
        # Only now: what they import is optional.
        from bridge.mount.upstream.connections import ConnectionsByLoop
        from bridge.mount.upstream.exchange import Exchange
        from bridge.mount.upstream.websocket import WebSocket

        if self._address.scheme == "http":
            ssl_context = None
        elif ssl_context is None:
            ssl_context = ssl.create_default_context()
        self._keep_host = keep_host
        self._trust_forwarded = trust_forwarded
        self._timeout = timeout
        self._max_message_size = max_message_size
        self._connections = ConnectionsByLoop(self._address, max_connections, connect_timeout, ssl_context)
        self._exchange = Exchange
        self._websocket = WebSocket

    def __repr__(self) -> str:
        return f"Upstream({self._address.origin + self._address.base.decode('ascii')!r})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the server: an HTTP request, a WebSocket, a lifespan.

        Raises:
            ApplicationError: the upstream's response broke off, so that the client must not take it for a whole one.
            ServerError: the server broke the ASGI specification.
            Exception: the server's, of ``receive()`` and ``send()``.
        """
        kind = scope["type"]
        if kind == "http":
            await self._pass_on(scope, receive, send)
        elif kind == "websocket":
            await self._pass_through(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            raise ServerError(f"an ASGI scope is of type http, websocket or lifespan; the server sent {kind!r}")

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = None
        try:
            exchange = self._exchange(self._connections.here(), self._request(scope), receive, send, self._timeout)
            await exchange.run()
        except RequestRefused as refusal:
            if exchange is not None and exchange.answered:
                raise self._broke_off(refusal) from refusal
            self._log(scope, refusal)
            for message in messages_of(refusal, kind="http", head_only=scope["method"] == "HEAD"):
                await send(message)

    async def _pass_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        denial = "websocket.http.response" in (scope.get("extensions") or {})
        websocket = None
        try:
            websocket = self._websocket(
                self._connections.here(),
                self._request(scope),
                list(scope.get("subprotocols") or ()),
                receive,
                send,
                denial=denial,
                silence=self._timeout,
                max_size=self._max_message_size,
            )
            await websocket.run()
        except RequestRefused as refusal:
            if websocket is not None and websocket.answered:
                raise self._broke_off(refusal) from refusal
            self._log(scope, refusal)
            if not denial:
                await send({"type": "websocket.close", "code": 1000})  # before it is accepted: 403
                return
            for message in messages_of(refusal, kind="websocket.http", head_only=False):
                await send(message)

    def _request(self, scope: Scope) -> RequestHead:
        return build_request(scope, self._address, keep_host=self._keep_host, trust_forwarded=self._trust_forwarded)

    def _broke_off(self, refusal: RequestRefused) -> ApplicationError:
        detail = refusal.detail if isinstance(refusal, UpstreamFailure) else str(refusal)
        return ApplicationError(f"the response of the upstream {self._address.origin} broke off: {detail}")

    def _log(self, scope: Scope, refusal: RequestRefused) -> None:
        if isinstance(refusal, UpstreamFailure):
            _logger.warning(
                "A request for %r is answered %d: the upstream %s: %s",
                scope["path"],
                refusal.status,
                self._address.origin,
                refusal.detail,
            )

    async def _live(self, receive: Receive, send: Send) -> None:
        """Answer the lifespan protocol. Source: ASGI specification, "Lifespan Protocol"."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._connections.close_here()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{name} is a whole number, 1 or more; got {value!r}")


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise ConfigurationError(f"{name} is a number of seconds, more than 0; got {value!r}")
