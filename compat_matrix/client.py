"""An HTTP/1.1 client that sends bytes as they are given and parses what comes, nothing more."""

import json
import socket
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

TIMEOUT = 10.0  # seconds, for every wait in here


@dataclass
class Response:
    """What arrived. *complete* is false if the connection ended before the body did (RFC 9112, 8)."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = True

    def all(self, name: str) -> list[str]:
        """Return every value of a header, in order."""
        return [value for header, value in self.headers if header == name.lower()]

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)


class RawClient:
    """One TCP connection."""

    def __init__(self, host: str, port: int, timeout: float = TIMEOUT, *, receive_buffer: int | None = None) -> None:
        """Connect.

        Args:
            host: address of the server.
            port: its port.
            timeout: seconds, for every wait.
            receive_buffer: bytes that the kernel takes in for a client that does not read; None for its default.
        """
        self.socket = socket.socket()
        if receive_buffer is not None:
            # Before the connection: its window is agreed upon then.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect((host, port))
        except BaseException:
            self.socket.close()
            raise
        self._timeout = timeout
        self._buffer = b""

    @property
    def port(self) -> int:
        """The client's own port."""
        port: int = self.socket.getsockname()[1]
        return port

    def send(self, data: bytes) -> None:
        """Send all of *data*."""
        self.socket.sendall(data)

    def get(self, target: str, *header_lines: str) -> None:
        """Send a GET request with these header lines, in latin-1."""
        lines = [f"GET {target} HTTP/1.1", "Host: test", *header_lines, "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))

    def nothing_came(self) -> bool:
        """Say, without waiting, whether the server has sent nothing that was not yet read."""
        self.socket.setblocking(False)
        try:
            self._buffer += self.receive()
        except BlockingIOError:
            pass
        finally:
            self.socket.settimeout(self._timeout)
        return not self._buffer

    def read_response(self, method: str = "GET") -> Response:
        """Read one response (1xx ones too), framed as RFC 9112, section 6.3, has it.

        Raises:
            EOFError: the connection ended before the header section did.
            TimeoutError: nothing more came.
        """
        while b"\r\n\r\n" not in self._buffer:
            if not self._receive():
                raise EOFError(f"connection closed after {self._buffer!r}")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        response = Response(int(status_line.split(" ")[1]))
        for line in lines:
            name, _, value = line.partition(":")
            response.headers.append((name.lower(), value.strip()))
        if method == "HEAD" or response.status < 200 or response.status in (204, 304):
            return response
        if "chunked" in response.all("transfer-encoding"):
            self._read_chunks(response)
        elif lengths := response.all("content-length"):
            response.body = self._read(int(lengths[0]))
            response.complete = len(response.body) == int(lengths[0])
        else:
            while self._receive():
                pass
            response.body, self._buffer = self._buffer, b""
        return response

    def read_until(self, end: bytes) -> None:
        """Wait until *end* has arrived.

        Raises:
            EOFError: the connection ended before that.
        """
        while end not in self._buffer:
            if not self._receive():
                raise EOFError(f"connection closed after {self._buffer!r}")

    def ended(self) -> bool:
        """Wait for the server to close the connection; false if it sends something instead."""
        return not self._buffer and not self._receive()

    def _read_chunks(self, response: Response) -> None:
        while True:
            while b"\r\n" not in self._buffer:
                if not self._receive():
                    response.complete = False
                    return
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            data = self._read(size + 2)
            response.body += data[:size]
            if len(data) != size + 2:
                response.complete = False
                return
            if size == 0:
                return

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size and self._receive():
            pass
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _receive(self) -> bool:
        data = self.receive()
        self._buffer += data
        return bool(data)

    def receive(self) -> bytes:
        """Return the next bytes, past what was read before; ``b""`` at the end of the connection."""
        return self.socket.recv(65_536)

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
