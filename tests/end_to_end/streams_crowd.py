"""Thousands of clients in one thread, each with a stream of numbered events. Knows no framework and no bridge."""

from __future__ import annotations

import re
import selectors
import socket
import time
from contextlib import suppress

_UNDER_WAY = 200  # connections that have not had their first event; fewer than any server's backlog
_READ = 65_536  # bytes

_NUMBER = re.compile(rb"data: (\d+)\n\n")


class Crowd:
    """Opens *count* streams; :meth:`await_events` waits for what each of them is to get.

    Args:
        port: of the server, on loopback.
        target: of the request.
        count: how many.
        timeout: seconds, for every wait.
    """

    def __init__(self, port: int, target: str, count: int, timeout: float) -> None:
        self._timeout = timeout
        self._selector = selectors.DefaultSelector()
        self._received: dict[socket.socket, bytearray] = {}
        request = f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
        try:
            for begin in range(0, count, _UNDER_WAY):
                for _ in range(begin, min(count, begin + _UNDER_WAY)):
                    client = socket.create_connection(("127.0.0.1", port), timeout)
                    self._received[client] = bytearray()
                    self._selector.register(client, selectors.EVENT_READ)
                    client.sendall(request)
                self.await_event(0)
        except BaseException:
            self.close()
            raise

    def await_event(self, number: int) -> None:
        """Wait until every stream has got the event *number*.

        Raises:
            EOFError: a stream has ended.
            TimeoutError: not all have got it in time.
        """
        end = b"data: %d\n\n" % number
        waited_for = {client for client, received in self._received.items() if end not in received[-64:]}
        deadline = time.monotonic() + self._timeout
        while waited_for:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"{len(waited_for)} streams did not get event {number}")
            for key, _ in self._selector.select(remaining):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                data = client.recv(_READ)
                received = self._received[client]
                if not data:
                    raise EOFError(f"a stream ended after {bytes(received)!r}")
                received += data
                if end in received[-64:]:
                    waited_for.discard(client)

    def events(self) -> set[tuple[int, ...]]:
        """Return the numbers that the streams have got, in order; one tuple if all have got the same."""
        return {tuple(map(int, _NUMBER.findall(received))) for received in self._received.values()}

    def close(self) -> None:
        """Close every connection."""
        self._selector.close()
        for client in self._received:
            with suppress(OSError):
                client.close()
        self._received.clear()
