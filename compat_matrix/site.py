"""One running server with one application, as a check sees it: a client that keeps what went over the wire."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compat_matrix.client import RawClient, Response
from compat_matrix.composition import MOUNT
from compat_matrix.model import App
from compat_matrix.servers import RunningServer
from compat_matrix.wire import Wire

_KEPT = 4_000  # bytes of each direction that are kept for a report
TIMEOUT = 5.0  # seconds, for every wait of a check: a peer that hangs must not hold up the matrix for long


class Site:
    """Ask an application on a running server. One check at a time."""

    def __init__(self, app: App, running: RunningServer, *, bridged: bool, timeout: float = TIMEOUT) -> None:
        self.app = app
        self.running = running
        self.recipe = running.recipe
        self.bridged = bridged
        self.timeout = timeout
        self.mount = MOUNT
        self.without_websockets: str | None = None
        """Why there are no WebSockets here; empty if there are, None before the first handshake, which decides."""
        self._sent = bytearray()
        self._received = bytearray()
        self._log_from = 0

    def begin(self) -> None:
        """Forget what the check before has left in the transcript."""
        self._sent.clear()
        self._received.clear()
        self._log_from = len(self.running.log())

    @property
    def sent(self) -> str:
        """What the check has sent, latin-1, its first bytes."""
        return self._sent.decode("latin-1")

    @property
    def received(self) -> str:
        """What came, latin-1, the first bytes."""
        return self._received.decode("latin-1")

    def log(self) -> str:
        """What the server has written since the check began."""
        return self.running.log()[self._log_from :]

    @contextmanager
    def connect(self, *, receive_buffer: int | None = None) -> Iterator[RawClient]:
        """Open a connection.

        Args:
            receive_buffer: bytes that the kernel takes in for a client that does not read; None for its default.
        """
        with _Recorder(self, receive_buffer) as client:
            yield client

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """Open a line to the application, past server and adapter; put ``?wire=<port>`` into the URL."""
        with Wire(self.timeout) as wire:
            yield wire

    def ask(self, method: str, target: str, *header_lines: str, body: bytes = b"", host: str = "test") -> Response:
        """Make one request on a connection of its own and read the final response.

        Args:
            method: as it is sent.
            target: path and query, as they are sent (latin-1).
            header_lines: further ones, latin-1. ``Content-Length`` is added for a body.
            body: the request's.
            host: the Host header.
        """
        with self.connect() as client:
            client.send(head(method, target, *header_lines, length=len(body) if body else None, host=host) + body)
            response = client.read_response(method)
            while 100 <= response.status < 200:
                response = client.read_response(method)
            return response

    def get(self, target: str, *header_lines: str) -> Response:
        """Be ``ask("GET", ...)``."""
        return self.ask("GET", target, *header_lines)

    def memory(self) -> int:
        """Return the resident memory of the server's processes, in bytes. Linux only."""
        group = self.running.process.pid
        total = 0
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if os.getpgid(int(entry.name)) == group:
                        total += int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                except (ProcessLookupError, FileNotFoundError):
                    continue  # ended meanwhile
        return total

    def keep_sent(self, data: bytes) -> None:
        """Put bytes that went out into the transcript."""
        _keep(self._sent, data)

    def keep_received(self, data: bytes) -> None:
        """Put bytes that came into the transcript."""
        _keep(self._received, data)


def head(method: str, target: str, *header_lines: str, length: int | None = None, host: str = "test") -> bytes:
    """Return the header section of a request, as it is sent."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *header_lines]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _Recorder(RawClient):
    """A connection that writes the transcript."""

    def __init__(self, site: Site, receive_buffer: int | None) -> None:
        self._site = site
        super().__init__(site.running.host, site.running.port, site.timeout, receive_buffer=receive_buffer)

    def send(self, data: bytes) -> None:
        self._site.keep_sent(data)
        super().send(data)

    def receive(self) -> bytes:
        data = super().receive()
        self._site.keep_received(data)
        return data


def _keep(transcript: bytearray, data: bytes) -> None:
    room = _KEPT - len(transcript)
    if room > 0:
        transcript += data[:room]
