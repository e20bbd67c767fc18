"""One exchange that several applications are asked to answer, one after another. Knows no answer's content."""

from __future__ import annotations

import logging
from contextvars import copy_context
from typing import TYPE_CHECKING

import anyio

from bridge.mount.cascade.attempt import Attempt, Verdict
from bridge.mount.cascade.replay import Reader
from bridge.mount.states import state_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from anyio.abc import TaskGroup

    from bridge.mount.cascade.replay import Replay
    from bridge.protocols import AsgiApplication, Scope, Send

_logger = logging.getLogger("bridge")


class Exchange:
    """Ask the applications until one's answer is accepted. Event loop.

    The first is called in the server's own task. Each other one has a task of its own, since the one before it goes
    on to its end beside it.

    Args:
        applications: in their order; the last one's answer is accepted in any case.
        statuses: with which any other answer is refused.
        scope: the server's, of type ``http`` or ``websocket``.
        replay: over the server's ``receive()``.
        send: the server's.
    """

    def __init__(
        self,
        applications: Sequence[AsgiApplication],
        statuses: Collection[int],
        scope: Scope,
        replay: Replay,
        send: Send,
    ) -> None:
        self._applications = applications
        self._statuses = statuses
        self._scope = scope
        self._replay = replay
        self._send = send
        self._attempts: list[Attempt] = []
        self._asked = 0  # applications
        self._running = 0  # applications
        self._failure: Exception | None = None
        # What an application puts into context variables, the next one does not find.
        self._context = copy_context()

    async def run(self) -> None:
        """Return when all that were asked have ended.

        Raises:
            Exception: what the application raised whose answer is accepted, or that made none; what the server's
                ``send()`` or ``receive()`` raised.
        """
        try:
            async with anyio.create_task_group() as tasks:
                self._replay.begin(tasks)
                self._running = 1
                await self._ask(tasks)
        finally:
            await self._replay.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # the traceback holds this frame: without this it would hold itself

    async def _ask(self, tasks: TaskGroup) -> None:
        """Ask the next application, and run it to its end."""
        number = self._asked
        self._asked += 1
        try:
            if self._replay.lost:
                await self._refuse()
            elif await self._call(number, _own(self._scope, number), tasks):
                return
        except Exception as error:
            self._failure = error  # kept from the task group, which would make a group of it
        finally:
            self._running -= 1
            if not self._running:
                self._replay.end()
        for attempt in self._attempts:
            attempt.exchange_over = True

    async def _call(self, number: int, scope: Scope, tasks: TaskGroup) -> bool:
        """Call an application; return whether its answer fell through."""
        application, reader = self._applications[number], Reader(self._replay)
        if number == len(self._applications) - 1:
            await reader.settle()
            await application(scope, reader.receive, self._send)
            return False
        attempt = Attempt(reader, self._send, self._statuses, lambda: self._fall_through(tasks))
        self._attempts.append(attempt)
        await attempt.run(application, scope)
        return attempt.verdict is Verdict.REFUSED

    def _fall_through(self, tasks: TaskGroup) -> None:
        self._running += 1
        self._context.run(tasks.start_soon, self._ask, tasks)

    async def _refuse(self) -> None:
        """Answer 413. Source: RFC 9110, 15.5.14."""
        method = self._scope.get("method")
        _logger.warning(
            "An application has read more than %d bytes of the body of %s %s and its answer fell through: the next "
            "one cannot have what is not kept, so the client gets 413 (option replay_limit).",
            self._replay.limit,
            method,
            self._scope.get("path"),
        )
        text = b"The request body is too large.\n"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        await self._send({"type": "http.response.start", "status": 413, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"" if method == "HEAD" else text})


def _own(scope: Scope, number: int) -> Scope:
    """Return the scope for one of the applications, which may change it without another one's seeing that."""
    own = dict(scope)
    for name, copied in (("headers", list), ("extensions", dict)):
        if own.get(name) is not None:
            own[name] = copied(own[name])
    state = own.get("state")
    if state is not None:
        own["state"] = state_of(state, number)
    return own
