"""A request that asks for a WebSocket: whether there can be one here. Knows no frames."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from bridge.asgi_to_wsgi.takeover import SERVERS, find_connection
from bridge.asgi_to_wsgi.websocket_handshake import read_handshake
from bridge.errors import CannotUpgrade

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.asgi_to_wsgi.hosts import Host
    from bridge.asgi_to_wsgi.websocket import WebSocket
    from bridge.protocols import AsgiApplication, Environ

_logger = logging.getLogger("bridge")


def open_websocket(
    application: AsgiApplication, environ: Environ, choose_host: Callable[[], Host], **options: Any
) -> WebSocket:
    """Make the WebSocket of one request, which is not accepted yet.

    Args:
        application: an ASGI 3 application.
        environ: of a request that asks for a WebSocket.
        choose_host: called once it is clear that there can be one.
        options: of :class:`WebSocket`.

    Raises:
        BadRequest: the handshake breaks RFC 6455.
        CannotUpgrade: wsproto is not installed, or the server does not hand out its connection.
    """
    handshake = read_handshake(environ)
    connection = find_connection(environ)
    if connection is None:
        raise CannotUpgrade(
            "There are no WebSockets here: this WSGI server does not hand out the connection of a request. "
            f"These do: {SERVERS}."
        )
    try:
        from bridge.asgi_to_wsgi.websocket import WebSocket
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "wsproto":
            raise
        text = "WebSockets need wsproto, which is not installed: pip install 'wsgi-asgi-bridge[websocket]'."
        _logger.error("A WebSocket was refused. %s", text)
        raise CannotUpgrade(text) from None
    return WebSocket(application, handshake, connection, choose_host(), **options)
