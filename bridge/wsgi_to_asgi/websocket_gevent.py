"""The WebSocket as gevent-websocket puts it into environ, which Flask-Sockets wants. Knows neither of them."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, cast

from bridge.errors import ClientDisconnected

if TYPE_CHECKING:
    from bridge.protocols import Environ
    from bridge.wsgi_to_asgi.websocket import WebSocket


class GeventWebSocket:
    """``environ["wsgi.websocket"]``: the methods and attributes of gevent-websocket's object, over another one.

    There the server accepts every WebSocket; here the first use does, so that an application may answer others with
    HTTP.
    """

    __slots__ = ("_accepted", "_lock", "_websocket", "environ", "origin", "path", "protocol", "version")

    def __init__(self, websocket: WebSocket, environ: Environ) -> None:
        self._websocket = websocket
        self._accepted = False
        self._lock = threading.Lock()  # over the first use: others are not to go on before it has accepted
        # A copy: environ and this would hold each other, and with them the socket that another key of it holds.
        self.environ: Environ = environ.copy()
        self.path: str = environ["PATH_INFO"]
        self.origin: str | None = environ.get("HTTP_ORIGIN")
        self.protocol: str | None = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL")
        self.version: str | None = environ.get("HTTP_SEC_WEBSOCKET_VERSION")

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._websocket.closed

    def receive(self) -> str | bytes | None:
        """Wait for the next message; return None when the WebSocket has ended."""
        try:
            self._take()
            return self._websocket.receive()
        except ClientDisconnected:
            return None

    def send(self, message: Any, binary: bool | None = None) -> None:
        """Send one message.

        Args:
            message: str, bytes, None for an empty one, or what str() makes text of.
            binary: whether it goes as binary; None: by its type.

        Raises:
            OSError: the WebSocket has ended. It is gevent-websocket's ``WebSocketError`` as well where that is loaded.
        """
        data = _payload(message, binary)
        try:
            self._take()
            self._websocket.send(data)
        except ClientDisconnected as error:
            raise _as_theirs(error) from None

    def close(self, code: int = 1000, message: str | bytes = "") -> None:
        """Close it; one that has ended stays as it is."""
        try:
            self._take()
        except ClientDisconnected:
            return
        self._websocket.close(code, message if isinstance(message, str) else message.decode())

    def _take(self) -> None:
        with self._lock:
            if not self._accepted:
                self._accepted = True
                self._websocket.accept()


def _payload(message: Any, binary: bool | None) -> str | bytes:
    data: str | bytes
    if message is None:
        data = ""
    elif isinstance(message, (bytearray, memoryview)):
        data = bytes(cast("bytes", message))
    else:
        data = message if isinstance(message, (str, bytes)) else str(message)
    if isinstance(data, str):
        return data.encode() if binary else data
    return data.decode() if binary is False else data


def _as_theirs(error: ClientDisconnected) -> ClientDisconnected:
    """Make an exception of *error* that applications of gevent-websocket catch."""
    # Only where the application has imported it, as one has to that names its exceptions.
    theirs = getattr(sys.modules.get("geventwebsocket.exceptions"), "WebSocketError", None)
    if theirs is None:
        return error
    both: type[ClientDisconnected] = type("WebSocketError", (ClientDisconnected, theirs), {})
    return both(*error.args)
