"""An async iterable of an application, chunk by chunk. Event loop; knows no thread and no exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from bridge.errors import ApplicationError
from bridge.streams.server_sent_event import COMMENT, ServerSentEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable


async def feed(items: AsyncIterable[Any], put: Callable[[bytes], Awaitable[None]], ping: float | None) -> None:
    """Await ``put(chunk)`` for each item, and close *items* at the end, however it ends.

    Args:
        items: ``bytes``, ``str`` or :class:`ServerSentEvent`.
        put: returns when there is room for the next; not called twice at a time.
        ping: seconds without a chunk, after which a comment is put; one comes at once. None: none.

    Raises:
        ApplicationError: an item is none of these.
        BaseException: what *items* raised, or *put*.
    """
    iterator = items.__aiter__()
    aclose = getattr(iterator, "aclose", None)
    try:
        if ping is None:
            async for item in iterator:
                await put(encode(item))
        else:
            await _feed_with_pings(iterator, put, ping)
    except GeneratorExit:
        aclose = None  # this was thrown away with its loop, so that nothing can be awaited any more
        raise
    finally:
        # An iterator that was cut off is closed now, and not when it is collected: its finally blocks end the work.
        if aclose is not None and getattr(iterator, "ag_frame", iterator) is not None:  # an async generator has ended
            with anyio.CancelScope(shield=True):
                await aclose()


async def _feed_with_pings(iterator: AsyncIterator[Any], put: Callable[[bytes], Awaitable[None]], ping: float) -> None:
    putting = anyio.Lock()
    # At once, so that the response begins: a browser says that an EventSource is open when it has the head.
    await put(COMMENT)
    due = anyio.current_time() + ping
    failures: list[BaseException] = []

    async def keep_alive() -> None:
        while True:
            with anyio.move_on_after(due - anyio.current_time()):
                await anyio.sleep_forever()
            async with putting:  # it may have been for long: a client that has just taken an item needs no comment
                if anyio.current_time() >= due:
                    await give(COMMENT)

    async def give(chunk: bytes) -> None:
        nonlocal due
        await put(chunk)
        due = anyio.current_time() + ping

    async def pass_on() -> None:
        async for item in iterator:
            async with putting:
                await give(encode(item))

    async with anyio.create_task_group() as tasks:

        async def run(function: Callable[[], Awaitable[None]]) -> None:
            try:
                await function()
            except (Exception, SystemExit) as error:  # raised below: the task group would make a group of it
                failures.append(error)
            tasks.cancel_scope.cancel()

        tasks.start_soon(run, keep_alive)
        await run(pass_on)
    if failures:
        try:
            raise failures[0]
        finally:
            failures.clear()  # the traceback holds this frame: without this it would hold itself


def encode(item: object) -> bytes:
    """Return an item of a stream as bytes."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, ServerSentEvent):
        return item.encode()
    raise ApplicationError(
        f"a stream is made of bytes, str or ServerSentEvent; the application's gave {type(item).__name__} {item!r:.60}"
    )
