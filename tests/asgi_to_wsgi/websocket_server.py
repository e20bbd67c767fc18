"""A WSGI server that hands out its connection, played by a test: one request over a socketpair. Knows no bridge."""

from __future__ import annotations

import io
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.client import parse_headers
from typing import Any

from websockets.sync.client import ClientConnection, unix_connect

from tests.asgi import TIMEOUT, Application, Environ
from tests.asgi_to_wsgi.server import request

URI = "ws://testserver"
KEY, TOKEN = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3
HANDSHAKE: dict[str, str | None] = {
    "Host": "testserver",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10  # RFC 6455, 5.2


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0) -> bytes:
    """Build a client's frame. Source: RFC 6455, 5.2."""
    length = len(payload)
    extended = b""
    if length > 65535:
        length, extended = 127, length.to_bytes(8, "big")
    elif length > 125:
        length, extended = 126, length.to_bytes(2, "big")
    return bytes((fin << 7 | reserved << 4 | opcode, 0x80 | length)) + extended + bytes(4) + payload


class HandingOut:
    """Serves one request in a thread of its own, and hands the connection out as Werkzeug does.

    What the application answers through the server is sent as a server would, unless the connection was taken over.
    """

    def __init__(
        self,
        application: Application,
        *,
        tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
        timeout: float | None = None,
        **variables: Any,
    ) -> None:
        """Serve *application*.

        Args:
            application: a WSGI application.
            tls: the server's context and the client's.
            timeout: seconds, of the server's socket; None: it blocks.
            variables: more of the environ.
        """
        self._tls = tls
        self._application = application
        self._variables = variables
        self._socket, self.client_socket = socket.socketpair()
        self._socket.settimeout(timeout)
        self.client_socket.settimeout(TIMEOUT)
        self._thread = threading.Thread(target=self._serve)
        self.status = ""
        """What start_response got last."""
        self.headers: list[tuple[str, str]] = []
        self.timeout: float | None = -1.0
        """Of the socket, after the application."""
        self._error: BaseException | None = None

    def connect(self, path: str = "/", **options: Any) -> AbstractContextManager[ClientConnection]:
        """Return a client, which sends the handshake when its block is entered."""
        self._begin()
        opening: AbstractContextManager[ClientConnection] = unix_connect(
            uri=URI + path, sock=self.client_socket, open_timeout=TIMEOUT, **options
        )
        return opening

    def ask(
        self,
        changed: Mapping[str, str | None] | None = None,
        *,
        method: str = "GET",
        protocol: str = "HTTP/1.1",
        early: bytes = b"",
    ) -> None:
        """Send a handshake by hand, with *early* bytes right after it.

        Args:
            changed: header fields that differ from a handshake that is right; None: left out.
            method: of the request.
            protocol: with its version.
            early: sent before the answer is there.
        """
        self._begin()
        fields = {**HANDSHAKE, **(changed or {})}
        lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
        self.client_socket.sendall("\r\n".join([f"{method} / {protocol}", *lines, "", ""]).encode("latin-1") + early)

    def read_head(self) -> str:
        """Return the head of the answer."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.client_socket.recv(1)
            assert byte, f"the connection ended after {head!r}"
            head += byte
        return head.decode("latin-1")

    def read_response(self) -> tuple[str, str]:
        """Return head and body of an answer that ends with the connection."""
        head, body = self.read_head(), b""
        while piece := self.client_socket.recv(65536):
            body += piece
        return head, body.decode()

    def open(self) -> None:
        """Let the handshake be answered, without any extension."""
        self.ask()
        assert self.read_head().startswith("HTTP/1.1 101 ")

    def say(self, opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0) -> None:
        """Send one frame, masked as a client's has to be, with zeros."""
        self.client_socket.sendall(frame(opcode, payload, fin=fin, reserved=reserved))

    def hear(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        first, length = self._read(2)
        if length == 126:
            length = int.from_bytes(self._read(2), "big")
        elif length == 127:
            length = int.from_bytes(self._read(8), "big")
        return first & 0x0F, self._read(length)

    def hear_close(self) -> tuple[int, str]:
        """Return code and reason of a close frame, which is the next; 0: without a code."""
        opcode, payload = self.hear()
        assert opcode == CLOSE
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def hears_end(self) -> bool:
        """Whether nothing comes any more, and the connection has ended in order."""
        return self.client_socket.recv(1) == b""

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.client_socket.recv(size - len(data))
            assert piece, "the connection ended inside a frame"
            data += piece
        return data

    def end(self) -> None:
        """Wait until the server has its thread back; raise what the application raised, once."""
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the server did not get its thread back"
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close_socket(self) -> None:
        """Close the server's socket under whoever has it, although its file is open."""
        os.close(self._socket.detach())

    def hang_up(self) -> None:
        """Close both ends."""
        self.client_socket.close()
        self._socket.close()

    def _begin(self) -> None:
        self._thread.start()
        if self._tls is not None:
            self.client_socket = self._tls[1].wrap_socket(self.client_socket, server_hostname="127.0.0.1")

    def _serve(self) -> None:
        if self._tls is not None:
            self._socket = self._tls[0].wrap_socket(self._socket, server_side=True)
        try:
            with self._socket.makefile("rb") as file:
                environ = self._environ(file)
                body = b""
                iterable: Any = self._application(environ, self._start_response)
                try:
                    for chunk in iterable:
                        body += chunk
                finally:
                    getattr(iterable, "close", lambda: None)()
        except BaseException as error:
            self._error = error
            self.status, self.headers, body = "500 Internal Server Error", [], b""
        self.timeout = self._socket.gettimeout()
        fields = [f"{name}: {value}" for name, value in [*self.headers, ("Connection", "close")]]
        head = "\r\n".join([f"HTTP/1.1 {self.status}", *fields, "", ""]).encode("latin-1")
        try:
            self._socket.sendall(head + body)
        except OSError:
            pass  # it was taken over
        # Like a server that keeps the connection: only what was shut down already has an end for the client.
        if self.status.startswith("101"):
            return
        self._socket.close()

    def _environ(self, file: io.BufferedReader) -> Environ:
        method, target, protocol = file.readline().decode("latin-1").split()
        fields = parse_headers(file)
        variables: dict[str, Any] = {
            "HTTP_" + name.upper().replace("-", "_"): ",".join(fields.get_all(name, [])) for name in fields
        }
        given = {"werkzeug.socket": self._socket, "wsgi.input": file, "SERVER_PROTOCOL": protocol}
        path, _, query = target.partition("?")
        return request(method, path, variables={**variables, **given, "QUERY_STRING": query, **self._variables})

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status, self.headers = status, headers
        return lambda chunk: None


@contextmanager
def handing_out(application: Application, **options: Any) -> Iterator[HandingOut]:
    """Serve one request; at the end of the block, the server has to have its thread back."""
    server = HandingOut(application, **options)
    with ExitStack() as stack:
        stack.callback(server.hang_up)
        yield server
        server.end()
