"""An HTTP/1.1 client that sends bytes as they are given and parses what comes, nothing more."""

import json
import socket
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

TIMEOUT = 10.0  # seconds, for every wait in here

_SEGMENT = 1_460  # bytes; what an Ethernet has, where loopback has 64 KiB


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


class Incoming:
    """A response under way: its head is here, its body is taken as it comes."""

    def __init__(self, response: Response, pieces: Iterator[bytes]) -> None:
        self.response = response
        """Status and headers. *complete* is right once the body has been taken to its end."""
        self.pieces = pieces
        """The body's bytes as they come, without their framing; ends where the body does, or the connection."""
        self._ahead = b""

    def read_until(self, end: bytes) -> bytes:
        """Wait until the body has got to *end*; return what came up to there and was not returned before.

        Raises:
            EOFError: the body ended before that.
            TimeoutError: nothing more came.
        """
        while end not in self._ahead:
            piece = next(self.pieces, None)
            if piece is None:
                raise EOFError(f"the body ended after {self._ahead!r}")
            self._ahead += piece
        before, _, self._ahead = self._ahead.partition(end)
        return before + end

    def rest(self) -> bytes:
        """Wait for the end of the body; return what was not returned before."""
        rest = b"".join([self._ahead, *self.pieces])
        self._ahead = b""
        return rest


class RawClient:
    """One TCP connection."""

    def __init__(self, host: str, port: int, timeout: float = TIMEOUT, *, receive_buffer: int | None = None) -> None:
        """Connect.

        Args:
            host: address of the server.
            port: its port.
            timeout: seconds, for every wait.
            receive_buffer: bytes that the kernel takes in for a client that does not read; None for its default.
                If given, the server's kernel keeps little for this client, too.
        """
        self.socket = socket.socket()
        if receive_buffer is not None:
            # Before the connection: its window is agreed upon then.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            # The peer's send buffer grows with the size of a segment: to megabytes on loopback.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect((host, port))
        except BaseException:
            self.socket.close()
            raise
        self._timeout = timeout
        self._buffer = bytearray()  # from whose beginning bytes are cut at no cost, however much follows

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
        incoming = self.begin_response(method)
        incoming.response.body = incoming.rest()
        return incoming.response

    def begin_response(self, method: str = "GET") -> Incoming:
        """Read the head of a response; its body is taken by what is returned, before anything else is read.

        Raises:
            EOFError: the connection ended before the header section did.
            TimeoutError: nothing more came.
        """
        while b"\r\n\r\n" not in self._buffer:
            if not self._receive():
                raise EOFError(f"connection closed after {bytes(self._buffer)!r}")
        head = self._take(self._buffer.index(b"\r\n\r\n") + 4)[:-4]
        status_line, *lines = head.decode("latin-1").split("\r\n")
        response = Response(int(status_line.split(" ")[1]))
        for line in lines:
            name, _, value = line.partition(":")
            response.headers.append((name.lower(), value.strip()))
        return Incoming(response, self._body(method, response))

    def read_until(self, end: bytes) -> None:
        """Wait until *end* has arrived.

        Raises:
            EOFError: the connection ended before that.
        """
        while end not in self._buffer:
            if not self._receive():
                raise EOFError(f"connection closed after {bytes(self._buffer)!r}")

    def read_exactly(self, size: int) -> bytes:
        """Wait for *size* bytes and return them.

        Raises:
            EOFError: the connection ended before that.
            TimeoutError: nothing more came.
        """
        while len(self._buffer) < size:
            if not self._receive():
                raise EOFError(f"connection closed after {len(self._buffer)} of {size} bytes")
        return self._take(size)

    def ended(self) -> bool:
        """Wait for the server to close the connection; false if it sends something instead."""
        return not self._buffer and not self._receive()

    def reset(self) -> None:
        """Leave at once, by a RST instead of a FIN: the server can tell that nobody reads any more."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _body(self, method: str, response: Response) -> Iterator[bytes]:
        if method == "HEAD" or response.status < 200 or response.status in (204, 304):
            return
        try:
            if "chunked" in response.all("transfer-encoding"):
                response.complete = yield from self._chunks()
            elif lengths := response.all("content-length"):
                response.complete = (yield from self._exactly(int(lengths[0]))) == 0
            else:
                while self._buffer or self._receive():
                    yield self._take(len(self._buffer))
        except ConnectionError:
            response.complete = False  # RFC 9112, 8: the connection itself says that something is missing

    def _chunks(self) -> Generator[bytes, None, bool]:
        """Give the data of all chunks; return whether the last one came."""
        while True:
            while b"\r\n" not in self._buffer:
                if not self._receive():
                    return False
            line = self._take(self._buffer.index(b"\r\n") + 2)
            size = int(line[:-2].partition(b";")[0], 16)
            if (yield from self._exactly(size)):
                return False
            while len(self._buffer) < 2:
                if not self._receive():
                    return False
            self._take(2)
            if size == 0:
                return True

    def _exactly(self, size: int) -> Generator[bytes, None, int]:
        """Give the next *size* bytes; return how many of them did not come."""
        while size and (self._buffer or self._receive()):
            data = self._take(min(size, len(self._buffer)))
            size -= len(data)
            yield data
        return size

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
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
