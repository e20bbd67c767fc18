"""The WebSockets of one adapter: their threads, their limit, their end. Knows no message."""

from __future__ import annotations

import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, cast

from bridge.errors import Overloaded
from bridge.wsgi_to_asgi.websocket_environ import build_websocket_environ
from bridge.wsgi_to_asgi.websocket_exchange import WebSocketExchange
from bridge.wsgi_to_asgi.workers import WorkerThreads

if TYPE_CHECKING:
    from bridge.loop_thread import Crossing
    from bridge.protocols import Receive, Scope, WsgiApplication

_logger = logging.getLogger("bridge")


class WebSockets:
    """Begin WebSockets in worker threads of their own: each holds one for as long as it lives, and HTTP needs them.

    Args:
        application: the WSGI application.
        size: how many there may be at once.
    """

    # The adapter is given to each call and not kept: the two would hold each other, and its threads end with it.

    def __init__(self, application: WsgiApplication, size: int) -> None:
        self._application = application
        self._workers = WorkerThreads(size)
        self._refusing = False

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return self._workers.threads

    @property
    def count(self) -> int:
        """How many WebSockets run."""
        return self._workers.busy

    def begin(
        self, owner: object, scope: Scope, receive: Receive, crossing: Crossing, read_ahead: int, send_ahead: int
    ) -> WebSocketExchange:
        """Call the application for a handshake. Event loop thread only; does not block.

        Raises:
            RequestRefused: the handshake's target is none, or there are as many WebSockets as may be.
            ServerError: the server broke the ASGI specification.
        """
        environ = build_websocket_environ(scope)
        exchange = WebSocketExchange(
            owner, self._application, environ, copy_context(), crossing, receive, send_ahead, read_ahead
        )
        if not self._workers.submit(exchange, 0):
            raise self._full()
        self._refusing = False
        return exchange

    def _full(self) -> Overloaded:
        if not self._refusing:
            # Once until there is room again: a log line a refusal would be load on top of overload.
            self._refusing = True
            threads, size = self._workers.threads, self._workers.size
            if threads < size:
                _logger.warning(
                    "The system has no thread left for a WebSocket: %d of %d run (option websocket_threads), and more "
                    "are answered 503 until one ends.",
                    threads,
                    size,
                )
            else:
                _logger.warning(
                    "All %d threads for WebSockets are taken, each by one that is open: more are answered 503 until "
                    "one ends (option websocket_threads).",
                    size,
                )
        return Overloaded("The server has as many WebSockets as it may have; try again later.")

    def withdraw(self, exchange: WebSocketExchange) -> None:
        """Give the place of one back that no thread has begun."""
        self._workers.withdraw(exchange)

    def go_away(self, owner: object) -> None:
        """Close those that are open. Any thread but the loop's; does not wait."""
        for job in self._workers.jobs_of(owner):
            cast("WebSocketExchange", job).go_away("the server shuts down")

    def drain(self, owner: object, timeout: float, grace: float) -> int:
        """Wait until the application is done with all of them; see :meth:`WorkerThreads.drain`. Blocks."""
        left = self._workers.drain(owner, timeout, grace)
        self._workers.close(0 if left else grace)
        return left
