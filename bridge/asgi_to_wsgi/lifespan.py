"""Startup and shutdown of the application, on a loop that runs in a thread of its own."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from bridge.asgi_to_wsgi.green import make_signal
from bridge.errors import ApplicationError, LifespanFailed
from bridge.loop_thread import LoopClosed

if TYPE_CHECKING:
    from bridge.loop_thread import Crossing, Task, Waiter
    from bridge.protocols import AsgiApplication, Message

_logger = logging.getLogger("bridge")


class Lifespan:
    """One run of the lifespan protocol. Source: ASGI specification, "Lifespan Protocol"."""

    def __init__(self, application: AsgiApplication, crossing: Crossing) -> None:
        self._application = application
        self._crossing = crossing
        self.state: dict[str, Any] = {}
        """What the application keeps for its requests; each gets a shallow copy."""

        # Event loop writes; the server's thread reads after _changed.
        self.supported = False
        """The application has answered the startup."""
        self._failure: str | None = None
        self._error: BaseException | None = None
        self._shut_down = False
        self._finished = False
        self._task: Task | None = None
        self._shutdown: Waiter | None = None
        self._asked = 0  # calls of receive() so far
        self._changed = make_signal()

    # -- server's thread --------------------------------------------------------------------------------------

    def startup(self, timeout: float, *, required: bool) -> None:
        """Start the application; block until it has started. ``supported`` tells then whether it takes part.

        Raises:
            LifespanFailed: it said so, or needed more than *timeout* seconds; or, where it is *required*,
                it does not take part.
        """
        self._crossing.post(self._start)
        deadline = time.monotonic() + timeout
        while not (self.supported or self._failure is not None or self._finished):
            left = deadline - time.monotonic()
            if left <= 0:
                self._cancel()
                raise LifespanFailed(f"the application did not start within startup_timeout, {timeout:g} s")
            self._changed.wait(left)
        if self._failure is not None:
            # Most applications raise what made them fail after they have said so: it belongs to the failure.
            self._cancel()
            while not self._finished and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            cause = self._error if isinstance(self._error, Exception) else None
            raise LifespanFailed(f"the application failed to start: {self._failure}") from cause
        if self.supported:
            return
        if required:
            raise LifespanFailed(
                "the application does not take part in the lifespan protocol, and lifespan='on' asks for it"
            ) from self._error
        if self._error is not None:
            # Frameworks without lifespan refuse the scope with an error, so this is no news to anybody.
            _logger.debug("The application does not take part in the lifespan protocol: %r", self._error)

    def shutdown(self, timeout: float) -> None:
        """Shut the application down; block until that is done, or for *timeout* seconds. What fails is logged."""
        if not self.supported or self._finished:
            return
        deadline = time.monotonic() + timeout
        # For the thread that waits now; the one that waited for the startup may be another, with a loop of greenlets
        # of its own.
        self._changed = make_signal()
        try:
            self._crossing.post(self._let_shut_down)
            while not (self._shut_down or self._finished):
                left = deadline - time.monotonic()
                if left <= 0:
                    _logger.error("The application did not shut down within shutdown_timeout, %g s.", timeout)
                    self._cancel()
                    return
                self._changed.wait(left)
        except LoopClosed:
            _logger.error("The application was not shut down: its event loop is closed.")
            return
        if self._failure is not None:
            _logger.error("The application failed to shut down: %s", self._failure)

    def _cancel(self) -> None:
        try:
            self._crossing.post(self._cancel_task)
        except LoopClosed:
            pass  # it went with the loop

    # -- event loop -------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._shutdown = self._crossing.waiter()
        self._task = self._crossing.start(self._run)

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _let_shut_down(self) -> None:
        if self._shutdown is not None and not self._shutdown.done():
            self._shutdown.set_result(None)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._application(scope, self._receive, self._send)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            self._error = error
            if self.supported and self._failure is None:
                # Said here, since what fails between startup and shutdown is not waited for by anybody.
                where = "shutdown" if self._shutdown is not None and self._shutdown.done() else "lifespan"
                _logger.error("Exception in the application's %s", where, exc_info=error)
        except BaseException as error:  # a cancellation, of whatever kind this loop has
            self._error = error
            raise
        finally:
            self._finished = True
            self._changed.wake()

    async def _receive(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        if self._shutdown is not None:
            await self._shutdown
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self.supported = True
        elif kind == "lifespan.shutdown.complete":
            self._shut_down = True
        elif kind in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
            self._failure = message.get("message") or "it gave no reason"
            self._shut_down = kind == "lifespan.shutdown.failed"
        else:
            # An application that takes every scope for a request must not wait for the end of a client.
            raise ApplicationError(f"the application sent a message of type {kind!r} in its lifespan")
        self._changed.wake()
