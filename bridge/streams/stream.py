"""The WSGI response iterable over an async iterable: where that runs. Knows no framework."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from bridge.errors import ConfigurationError
from bridge.loop_thread import here

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

_logger = logging.getLogger("bridge")


def stream(items: AsyncIterable[Any], *, ping: float | None = None) -> Stream:
    """Make a response body of what an async iterable gives, for any WSGI framework.

    Behind :class:`WsgiToAsgi` the iterable runs on the server's event loop, and the response holds no worker thread
    while it gives nothing. Elsewhere it runs in the server's thread, step by step.

    Args:
        items: an async iterable of ``bytes``, ``str`` (sent as UTF-8) or :class:`ServerSentEvent`. It is closed when
            the response ends, and cancelled when the client leaves.
        ping: seconds without an item, after which a comment of server-sent events is sent, for proxies to keep the
            connection; one is sent at once, so that the browser gets the head. Each item then has to be whole events.
            None: none.

    Raises:
        ConfigurationError: *items* is no async iterable, or *ping* no number of seconds.

    Source: PEP 3333, "Buffering and Streaming" and "Middleware Handling of Block Boundaries".
    """
    if not hasattr(items, "__aiter__"):
        raise ConfigurationError(f"stream() takes an async iterable, such as an async generator; got {items!r:.80}")
    if ping is not None and (not isinstance(ping, (int, float)) or not ping > 0):
        raise ConfigurationError(f"ping is a number of seconds, more than 0; got {ping!r}")
    return Stream(items, ping)


class Chunks(Protocol):
    """What a stream gives, wherever its iterable runs."""

    def __next__(self) -> bytes: ...

    def close(self) -> None: ...


class Stream:
    """What :func:`stream` returns: the iterable of PEP 3333, to be iterated once."""

    def __init__(self, items: AsyncIterable[Any], ping: float | None) -> None:
        self._items = items
        self._ping = ping
        self._chunks: Chunks | None = None
        self._closed = False

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            # Not when it is made: what a framework does with a body that it never sends costs nothing then.
            if self._closed:
                raise StopIteration
            self._chunks = self._begin()
        return self._chunks.__next__()

    def answer_nothing(self) -> None:
        """Let the response be 204, if it can be changed: it is WsgiToAsgi's, and nothing of it has left."""
        if here.exchange is not None:
            here.exchange.answer_nothing()

    def _begin(self) -> Chunks:
        exchange = here.exchange
        if exchange is not None:
            from bridge.streams.crossed import Crossed

            return Crossed(self._items, self._ping, exchange)
        from bridge.streams.elsewhere import iterate_here

        _logger.debug("A stream holds its thread: only a worker thread of WsgiToAsgi can leave it, and this is none.")
        return iterate_here(self._items, self._ping)

    def close(self) -> None:
        """End it: what runs is cancelled, and has ended when this returns.

        Raises:
            Exception: what the iterable raised meanwhile.
        """
        self._closed = True
        chunks, self._chunks = self._chunks, None  # with the exchange that they are of
        if chunks is not None:
            chunks.close()
