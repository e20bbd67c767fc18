"""The other end of a large body: a fast uploader and a slow downloader on sockets. Knows no server."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from benchmarks.model import NotMeasured

# Seconds without any progress of one socket call.
TIMEOUT = 30.0
# Bytes written at a time; larger than any socket buffer, so that the sender always has more ready.
SLICE = 1024 * 1024
# The slow side: a small window, small reads, and a pause whenever PAUSE_EVERY bytes have been read.
RECEIVE_BUFFER = 16 * 1024
READ = 16 * 1024
PAUSE_EVERY = 256 * 1024
PAUSE = 0.001

# Called now and then with the bytes that have passed; raises to give up.
Watch = Callable[[int], None]


def upload(port: int, size: int, watch: Watch) -> None:
    """POST *size* bytes as fast as the server takes them, and read how many the application saw.

    Raises:
        NotMeasured: the connection broke, or the application saw another number of bytes.
    """
    data = bytes(SLICE)
    with _connected(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n")
        connection.sendall(b"Content-Length: %d\r\n\r\n" % size)
        for sent in range(0, size, SLICE):
            connection.sendall(data[: size - sent])
            watch(sent)
        answer = bytearray()
        # Bounded by the socket's timeout and by the few bytes that such an answer has.
        while len(answer) < SLICE and (piece := connection.recv(READ)):
            answer += piece
    if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"\r\n\r\n%d" % size):
        raise NotMeasured(f"expected the number {size}, got {bytes(answer[:200])!r}")


def download(port: int, size: int, watch: Watch) -> None:
    """GET *size* bytes, more slowly than the application makes them.

    Raises:
        NotMeasured: the connection broke, or another number of bytes came.
    """
    with _connected(port) as connection:
        connection.sendall(b"GET /?%d HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % size)
        head, _, body = _head(connection).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise NotMeasured(f"expected status 200, got {head[:40]!r}")
        received, pause_at = len(body), PAUSE_EVERY
        while piece := connection.recv(READ):
            received += len(piece)
            if received >= pause_at:
                pause_at += PAUSE_EVERY
                watch(received)
                # Slowness is what is asked for here: sleeping is the point.
                time.sleep(PAUSE)
    if received != size:
        raise NotMeasured(f"expected {size} bytes, got {received}")


def _connected(port: int) -> socket.socket:
    connection = socket.socket()
    # Before connecting: the window is agreed on then.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    connection.settimeout(TIMEOUT)
    try:
        connection.connect(("127.0.0.1", port))
    except BaseException:
        connection.close()
        raise
    return connection


def _head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < SLICE:
        piece = connection.recv(READ)
        if not piece:
            raise NotMeasured(f"the connection ended after {data[:200]!r}")
        data += piece
    return data
