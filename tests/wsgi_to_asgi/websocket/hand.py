"""An application that wants the connection, and speaks RFC 6455 on it by hand. Knows no bridge."""

from __future__ import annotations

from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection

from tests.asgi import Environ


class Hand:
    """The connection of one WebSocket, in the application's thread."""

    def __init__(self, environ: Environ, key: str = "gunicorn.socket") -> None:
        self.environ = environ
        self.sock = environ[key]
        self.connection = WSConnection(ConnectionType.SERVER)

    def accept(self) -> Hand:
        names = ("HOST", "CONNECTION", "UPGRADE", "SEC_WEBSOCKET_KEY", "SEC_WEBSOCKET_VERSION")
        lines = [f"{name.replace('_', '-')}: {self.environ['HTTP_' + name]}\r\n" for name in names]
        self.connection.receive_data(f"GET / HTTP/1.1\r\n{''.join(lines)}\r\n".encode())
        list(self.connection.events())
        return self.say(AcceptConnection())

    def say(self, *events: Any) -> Hand:
        for event in events:
            self.sock.sendall(self.connection.send(event))
        return self

    def close_code(self) -> int:
        """Read until the close frame, and return its code."""
        while True:
            self.connection.receive_data(self.sock.recv(65536))
            for event in self.connection.events():
                if isinstance(event, CloseConnection):
                    return int(event.code)

    def receive(self) -> bytes | None:
        """Return the next piece of a message; None at the end."""
        while True:
            for event in self.connection.events():
                if isinstance(event, BytesMessage):
                    return bytes(event.data)
                if isinstance(event, CloseConnection):
                    return None
            data = self.sock.recv(65536)
            if not data:
                return None
            self.connection.receive_data(data)
