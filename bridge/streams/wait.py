"""Long polling: a response whose body is the result of an awaitable. Knows no framework."""

from __future__ import annotations

from inspect import CORO_CREATED, getcoroutinestate, isawaitable, iscoroutine
from typing import TYPE_CHECKING, Any

import anyio

from bridge.errors import ConfigurationError
from bridge.streams.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable


def wait(
    awaitable: Awaitable[bytes | str | None] | Callable[[], Awaitable[bytes | str | None]],
    *,
    timeout: float | None = None,
    default: bytes | str | None = None,
) -> Stream:
    """Make a response body of what an awaitable gives, for any WSGI framework.

    The view returns at once. Behind :class:`WsgiToAsgi` the awaitable runs on the server's event loop, the response
    holds no worker thread meanwhile, and if there is no body it is sent as 204. Elsewhere the server's thread waits,
    and the status stays what the view has given.

    Args:
        awaitable: a coroutine, or a function without arguments that returns one; it gives the body, ``str`` is sent as
            UTF-8. It is cancelled when the client leaves. What has to be made on the event loop, such as a future, is
            made by a function.
        timeout: seconds until it is cancelled. None: no limit.
        default: the body then. None: no body.

    Raises:
        ConfigurationError: *awaitable* is neither, or *timeout* no number of seconds.
    """
    if not callable(awaitable) and not isawaitable(awaitable):
        raise ConfigurationError(f"wait() takes an awaitable, or a function that returns one; got {awaitable!r:.80}")
    if timeout is not None and (not isinstance(timeout, (int, float)) or not timeout >= 0):
        raise ConfigurationError(f"timeout is a number of seconds, 0 or more; got {timeout!r}")
    return _Answer(awaitable, timeout, default)


class _Answer(Stream):
    """A stream of one chunk, or none."""

    def __init__(self, awaitable: Any, timeout: float | None, default: bytes | str | None) -> None:
        super().__init__(_one(awaitable, timeout, default), None)
        self._awaitable = awaitable
        self._empty = True

    def __next__(self) -> bytes:
        try:
            chunk = super().__next__()
        except StopIteration:
            if self._empty:
                self.answer_nothing()
            raise
        self._empty = self._empty and not chunk
        return chunk

    def close(self) -> None:
        super().close()
        if iscoroutine(self._awaitable) and getcoroutinestate(self._awaitable) == CORO_CREATED:
            self._awaitable.close()  # it was never awaited, as for HEAD, and would be warned of


async def _one(awaitable: Any, seconds: float | None, default: bytes | str | None) -> AsyncGenerator[bytes | str, None]:
    result: bytes | str | None = default
    with anyio.move_on_after(seconds):
        if callable(awaitable):
            awaitable = awaitable()
        result = await awaitable
    if result is not None:
        yield result
