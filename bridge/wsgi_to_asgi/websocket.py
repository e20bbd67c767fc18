"""bridge.websocket(): the WebSocket as a WSGI application has it. Knows no event loop and no server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.errors import ApplicationError, ClientDisconnected, NoWebSocket
from bridge.http import HOP_BY_HOP, encode_name, encode_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridge.protocols import Environ
    from bridge.wsgi_to_asgi.websocket_link import Link

KEY: Final = "bridge.websocket"


class WebSocket:
    """One WebSocket, in a WSGI application. :func:`bridge.websocket` returns it.

    Methods block the thread that calls them, never the event loop. Any thread may call them, and any number may send
    at once: a chat sends to each from the thread of each other. Those that receive take turns.

    Once the WebSocket has ended, whoever ended it, methods raise :class:`ClientDisconnected`, an ``OSError``, and a
    loop over the WebSocket ends. The application need not catch it: one that ends by it has ended in order.
    """

    __slots__ = ("_link", "subprotocols")

    def __init__(self, link: Link) -> None:
        self._link = link
        self.subprotocols: list[str] = list(link.subprotocols)
        """What the client offers, in its order."""

    def accept(self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Accept the WebSocket. Does not wait for the client.

        Args:
            subprotocol: one of :attr:`subprotocols`, or None.
            headers: of the answer to the handshake, cookies say; (name, value) pairs as for ``start_response``.

        Raises:
            ClientDisconnected: the client left before.
            ApplicationError: it was accepted, refused or answered before, *subprotocol* was not offered, or a header is
                invalid or one of the handshake itself.

        Source: RFC 6455, 4.2.2; ASGI specification, "Accept - send event".
        """
        self._link.accept(subprotocol, _translate(headers))

    def receive(self, timeout: float | None = None) -> str | bytes:
        """Wait for the next message, and return it: ``str`` for text, ``bytes`` for binary.

        Args:
            timeout: seconds to wait; None: for ever, 0: only take what is there.

        Raises:
            ClientDisconnected: the WebSocket has ended, and all that came before was received.
            TimeoutError: no message came in time.
            ApplicationError: the WebSocket was not accepted.
        """
        return self._link.receive(timeout)

    def send(self, message: str | bytes) -> None:
        """Send one message: ``str`` as text, ``bytes`` as binary.

        Waits while the client is more than ``response_buffer`` bytes behind.

        Raises:
            ClientDisconnected: the WebSocket has ended.
            ApplicationError: it was not accepted, or *message* is neither, or is text that UTF-8 cannot carry.
        """
        self._link.send(message)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket after what was sent, or refuse it with 403 if it is not accepted. Does not wait.

        One that has ended stays as it is. When the application returns, a WebSocket that is open is closed with 1000.

        Args:
            code: 1000 to 1014 without those that are never sent, or 3000 to 4999, which are for applications.
            reason: at most 123 bytes of UTF-8.

        Raises:
            ApplicationError: *code* or *reason* cannot be sent, or the handshake was answered with an HTTP response.

        Source: RFC 6455, 5.5.1 and 7.4.
        """
        self._link.close(code, reason)

    def __iter__(self) -> Iterator[str | bytes]:
        """Receive messages until the WebSocket has ended."""
        while True:
            try:
                message = self._link.receive(None)
            except ClientDisconnected:
                return
            yield message

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was accepted."""
        return self._link.subprotocol

    @property
    def closed(self) -> bool:
        """Whether it has ended; messages that came before may still be received."""
        return self._link.end is not None

    @property
    def close_code(self) -> int | None:
        """The code of the side that closed; 1006 for a client that was lost, 1005 for a close without a code.

        None while the WebSocket is open. Servers differ in what they tell of a client's close.
        """
        return None if self._link.end is None else self._link.end[0]

    @property
    def close_reason(self) -> str:
        """The reason that was given with it."""
        return "" if self._link.end is None else self._link.end[1]

    def __repr__(self) -> str:
        state = "open" if self._link.end is None else f"closed with {self._link.end[0]}"
        return f"<bridge.WebSocket {state}>"


def websocket(environ: Environ) -> WebSocket:
    """Return the WebSocket of a request that ``WsgiToAsgi`` serves.

    Whether it is one says ``"bridge.websocket" in environ``. An application that neither accepts nor closes it answers
    the handshake with its HTTP response.

    Raises:
        NoWebSocket: the request is none, or ``WsgiToAsgi`` does not serve it.
    """
    found = environ.get(KEY)
    if not isinstance(found, WebSocket):
        raise NoWebSocket(
            "bridge.websocket() takes the environ of a WebSocket's handshake that WsgiToAsgi serves; this one, "
            f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}, has no 'bridge.websocket'"
        )
    return found


def _translate(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    translated: list[tuple[bytes, bytes]] = []
    try:
        for name, value in headers:
            key = encode_name(name)
            text = key.decode("ascii")
            if text in HOP_BY_HOP or text.startswith("sec-websocket-"):
                raise ValueError(f"{name!r} is the server's, which answers the handshake")
            translated.append((key, encode_value(value)))
    except ValueError as error:
        raise ApplicationError(f"the application accepted a WebSocket with a bad header: {error}") from None
    return translated
