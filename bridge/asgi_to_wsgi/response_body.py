"""What the server iterates and closes: the response's chunks, or a file. Runs in the server's thread."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from bridge.asgi_to_wsgi.process import close_dropped

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
