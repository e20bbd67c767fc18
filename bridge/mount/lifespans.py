"""The lifespans of several applications behind one. Knows no path and no request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup

    from bridge.protocols import AsgiApplication, Message, Receive, Scope, Send

_logger = logging.getLogger("bridge")


class Lifespans:
    """One run of the lifespan protocol for each application. Source: ASGI specification, "Lifespan Protocol".

    They start one after another and shut down in the opposite order, each in a task of its own that lives between
    the two. If one fails to start, those before it are shut down again.
    """

    def __init__(self, applications: Sequence[tuple[str, AsgiApplication]]) -> None:
        """Take *applications* in the order of their startup, each with the name that messages call it by."""
        self._members = [_Member(name, application) for name, application in applications]
        self._started: list[_Member] = []

    @property
    def states(self) -> list[dict[str, Any]]:
        """What each application has put into its state at startup, in their order."""
        return [member.state for member in self._members]

    async def run(self, scope: Scope, receive: Receive, send: Send, started: Callable[[], object]) -> None:
        """Be the lifespan of one application to a server.

        Args:
            scope: of the server's lifespan, as *receive* and *send*.
            receive: gives the server's two messages.
            send: is told how the startup and the shutdown of all of them have ended.
            started: called when all have started, before the server is told.

        Raises:
            Exception: what *receive* or *send* raised.
        """
        error: Exception | None = None
        failure: str | None = None
        failures: list[str] = []
        # What ends it is said outside of the task group: servers (Hypercorn) cancel this coroutine as soon as they
        # hear it, and would find it waiting for the group.
        async with anyio.create_task_group() as tasks:
            try:
                await receive()  # lifespan.startup
                failure = await self._startup(tasks, scope)
                if failure is None:
                    started()
                    await send({"type": "lifespan.startup.complete"})
                    await receive()  # lifespan.shutdown
                failures = await self._shutdown()
            except Exception as raised:  # kept from the task group, which would make a group of it
                error = raised
            tasks.cancel_scope.cancel()  # those that have said it and go on
        if error is not None:
            try:
                raise error
            finally:
                del error  # the traceback holds this frame: without this it would hold itself
        if failure is not None:
            await send({"type": "lifespan.startup.failed", "message": "; ".join([failure, *failures])})
        elif failures:
            await send({"type": "lifespan.shutdown.failed", "message": "; ".join(failures)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _startup(self, tasks: TaskGroup, scope: Scope) -> str | None:
        for member in self._members:
            tasks.start_soon(member.run, scope)
            await member.answered.wait()
            if member.failure is not None:
                return member.failure
            if member.takes_part:
                self._started.append(member)
        return None

    async def _shutdown(self) -> list[str]:
        failures: list[str] = []
        while self._started:
            member = self._started.pop()
            member.told.set()
            await member.ended.wait()
            if member.failure is not None:
                failures.append(member.failure)
        return failures


class _Member:
    """One application's run. Event loop."""

    def __init__(self, name: str, application: AsgiApplication) -> None:
        self.state: dict[str, Any] = {}
        self.takes_part = False
        self.failure: str | None = None
        self._name = name
        self._application = application
        self._asked = 0  # calls of receive()
        self.answered = anyio.Event()  # the startup has come to something
        self.told = anyio.Event()  # to shut down
        self.ended = anyio.Event()  # the shutdown has come to something

    async def run(self, scope: Scope) -> None:
        """Run the application; it takes no part if it ends, or raises, without an answer."""
        own: Scope = {**scope, "state": self.state}
        try:
            await self._application(own, self._receive, self._send)
        except Exception as error:
            if not self.takes_part:
                # Frameworks without lifespan refuse the scope with an error, so this is no news to anybody.
                _logger.debug("The application at %s takes no part in the lifespan protocol: %r", self._name, error)
            elif self.failure is None:
                when = "shut down" if self.told.is_set() else "run"
                self._fail(f"failed to {when}: {error!r}")
                _logger.error("Exception in the lifespan of the application at %s", self._name, exc_info=error)
        finally:
            self.answered.set()
            self.ended.set()

    async def _receive(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        await self.told.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self.takes_part = True
            self.answered.set()
        elif kind == "lifespan.startup.failed":
            self._fail(f"failed to start: {message.get('message') or 'it gave no reason'}")
            self.answered.set()
        elif kind == "lifespan.shutdown.complete":
            self.ended.set()
        elif kind == "lifespan.shutdown.failed":
            self._fail(f"failed to shut down: {message.get('message') or 'it gave no reason'}")
            self.ended.set()

    def _fail(self, what: str) -> None:
        self.failure = f"the application at {self._name} {what}"
