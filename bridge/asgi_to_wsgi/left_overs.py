"""What an exchange, or an application, leaves on its loop: tasks and asynchronous generators. Knows no exchange."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, cast

_logger = logging.getLogger("bridge")

# How long tasks may take to end once they are cancelled, in seconds.
LEFT_OVER_GRACE: Final = 5.0


def track_tasks(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
    """Return a set that holds, from now on, each task that *loop* makes until it is done."""
    tasks: set[asyncio.Task[Any]] = set()

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    # asyncio.all_tasks() would tell as well, but looks through the tasks of every loop of the process.
    loop.set_task_factory(make)
    return tasks


async def tidy(loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]) -> bool:
    """Cancel and await what an exchange left on its loop; return whether the loop is clean then."""
    await asyncio.sleep(0)  # callbacks of what ended last: many a task ends with them
    deadline = loop.time() + LEFT_OVER_GRACE
    left = _left(tasks)
    if left:
        names = ", ".join(sorted({getattr(task.get_coro(), "__qualname__", repr(task)) for task in left}))
        _logger.warning(
            "The application left %d task(s) behind on a loop that ends with its request: cancelled (%s). "
            'Tasks that outlive their request need AsgiToWsgi(..., loop="shared").',
            len(left),
            names,
        )
    while left:
        stubborn = await _cancel(left, deadline - loop.time())
        if stubborn:
            _logger.error("%d of them go on although they were cancelled: they are left alone.", len(stubborn))
            return False
        left = _left(tasks)  # what a task begins while it ends is left behind as well
    # Tasks of their own, since a generator may wait for ever when it is closed, or fail.
    for generator in list(cast("Any", getattr(loop, "_asyncgens", ()))):
        loop.create_task(_close(generator))
    closing = tasks - {cast("asyncio.Task[Any]", asyncio.current_task())}
    if closing:
        _, pending = await asyncio.wait(closing, timeout=max(0.0, deadline - loop.time()))
        if pending:
            _logger.error(
                "%d asynchronous generator(s) that the application left behind did not close within %g s.",
                len(pending),
                LEFT_OVER_GRACE,
            )
            return not await _cancel(pending, LEFT_OVER_GRACE)
    return True


def _left(tasks: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    current = asyncio.current_task()
    return {
        task
        for task in tasks
        # The last is what a loop makes of a generator that was dropped: the application left it to be closed.
        if task is not current and not task.done() and type(task.get_coro()).__name__ != "async_generator_athrow"
    }


async def _close(generator: Any) -> None:
    try:
        await generator.aclose()
    except Exception:
        _logger.exception("Exception in an asynchronous generator that was left behind and closed: %r", generator)


async def _cancel(tasks: set[asyncio.Task[Any]], timeout: float) -> set[asyncio.Task[Any]]:
    """Cancel and await *tasks*, say what they raise; return those that went on, which are abandoned."""
    for task in tasks:
        task.cancel()
    done, pending = await asyncio.wait(tasks, timeout=max(0.0, timeout))
    for task in done:
        if not task.cancelled() and task.exception() is not None:
            _logger.error("Exception in a task that was left behind and cancelled", exc_info=task.exception())
    for task in pending:
        abandon(task)
    return pending


def end_all(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel and await all tasks of *loop*, then its asynchronous generators and its executor's threads.

    Called where the loop could run and does not.
    """
    stubborn: set[asyncio.Task[Any]] = set()
    _end_tasks(loop, stubborn)
    loop.run_until_complete(loop.shutdown_asyncgens())
    try:
        loop.run_until_complete(loop.shutdown_default_executor())
    except RuntimeError:
        pass  # at exit no thread can be started that waits for the others; and the others have ended already
    # Exchanges that began meanwhile. After this the loop makes no turn in which another one could.
    _end_tasks(loop, stubborn)


def _end_tasks(loop: asyncio.AbstractEventLoop, stubborn: set[asyncio.Task[Any]]) -> None:
    while tasks := asyncio.all_tasks(loop) - stubborn:
        for task in loop.run_until_complete(_cancel(tasks, LEFT_OVER_GRACE)):
            _logger.error("A task goes on although the loop ends and it was cancelled: %r", task)
            stubborn.add(task)


def abandon(task: asyncio.Task[Any]) -> None:
    """Leave *task* to its fate: that it was lost has been said, and asyncio shall not say it again."""
    cast("Any", task)._log_destroy_pending = False
