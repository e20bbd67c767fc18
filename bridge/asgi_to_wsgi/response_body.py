"""What the server iterates and closes: the response's chunks, or a file. Runs in the server's thread."""

from __future__ import annotations

import os
import stat
from typing import IO, TYPE_CHECKING

from bridge.asgi_to_wsgi.process import close_dropped
from bridge.errors import ApplicationError

if TYPE_CHECKING:
    from bridge.asgi_to_wsgi.exchange import Exchange


class ResponseBody:
    """The iterable of PEP 3333.

    An object of its own, since the exchange is in a cycle with its task: this one is collected as soon as the server
    drops it, which is how an exchange ends on servers that never call close() (Uvicorn's own WSGI).
    """

    __slots__ = ("_exchange", "close")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.close = exchange.close

    def __iter__(self) -> ResponseBody:
        return self

    def __next__(self) -> bytes:
        chunk = self._exchange.next()
        if not chunk:
            raise StopIteration
        return chunk

    def __del__(self) -> None:
        if not self._exchange.closed:
            close_dropped(self._exchange.close)


class NoBody(ResponseBody):
    """The iterable of a response that has no body: one empty chunk.

    For an iterable without any, wsgiref invents ``Content-Length: 0``, which is wrong for HEAD, and Hypercorn's WSGI
    forgets the headers.
    """

    __slots__ = ("_given",)

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._given = False

    def __next__(self) -> bytes:
        if self._given:
            raise StopIteration
        self._given = True
        return self._exchange.next()


def open_file(path: object) -> IO[bytes]:
    """Open what ``http.response.pathsend`` names.

    Raises:
        ApplicationError: it is no path.
        OSError: it cannot be opened.
    """
    if not isinstance(path, (str, bytes)):
        raise ApplicationError(f"http.response.pathsend takes a path; the application gave {path!r}")
    return open(path, "rb")


def size_of(file: IO[bytes]) -> int | None:
    """Return a file's length in bytes, None for what is no regular file."""
    facts = os.fstat(file.fileno())
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


class FileBody:
    """A file as ``wsgi.file_wrapper`` takes it, and a server's sendfile below that. Its close() ends the exchange."""

    def __init__(self, file: IO[bytes], exchange: Exchange) -> None:
        self._exchange = exchange
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell
        self.fileno = file.fileno

    def close(self) -> None:
        """Close the file and end the exchange; see :meth:`Exchange.close`."""
        self._exchange.close()

    def __del__(self) -> None:
        if not self._exchange.closed:
            close_dropped(self._exchange.close)
