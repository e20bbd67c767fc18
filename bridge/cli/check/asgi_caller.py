"""Calls an ASGI application as a server does. Knows neither WSGI nor what the answer is good for."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from bridge.cli.check.event_loop import EventLoop
from bridge.cli.check.limits import GRACE, LONG_STREAM, MOST_BODY
from bridge.cli.check.model import Answer, Request
from bridge.cli.check.wsgi_caller import described
from bridge.errors import ApplicationError, ClientDisconnected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.protocols import AsgiApplication, Message, Scope

_SLACK: Final = 1.0  # seconds beyond its limit after which a call has not ended because its loop is blocked


def build_scope(request: Request, state: Mapping[str, Any] | None) -> Scope:
    """Build the ``http`` scope of a request from the same machine, on port 80.

    Source: ASGI HTTP specification 2.4, "HTTP Connection Scope".
    """
    path, _, query = request.target.partition("?")
    raw_path = (request.mount + path).encode("ascii")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": query.encode("ascii"),
        "root_path": request.mount,
        "headers": [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in request.with_id()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
        "extensions": {},
    }
    if state is not None:
        scope["state"] = dict(state)
    return scope


class AsgiCaller:
    """Calls one ASGI application on an event loop of its own, and runs its lifespan around."""

    def __init__(self, application: AsgiApplication, timeout: float) -> None:
        self._application = application
        self._timeout = timeout
        self.loop = EventLoop()
        self._lifespan: _Lifespan | None = None

    @property
    def stuck(self) -> bool:
        """Whether the event loop is blocked by a call that does not end."""
        return self.loop.blocked

    def start(self) -> str | None:
        """Run the application's startup; return why it failed, None when it did not or takes no part. Blocks."""
        self._lifespan = _Lifespan(self._application)
        self.loop.run(self._lifespan.start(self._timeout), self._timeout + _SLACK)
        if self.loop.blocked:
            return f"the startup blocked the event loop for {self._timeout:g} s"
        return self._lifespan.failure

    def stop(self) -> str | None:
        """Run the application's shutdown and end the loop; return why that failed. Blocks."""
        failure = None
        if self._lifespan is not None and not self.loop.blocked:
            self.loop.run(self._lifespan.stop(self._timeout), self._timeout + _SLACK)
            failure = "the shutdown blocked the event loop" if self.loop.blocked else self._lifespan.failure
        self.loop.close()
        return failure

    def call(self, request: Request, *, leave: bool = False, taken: Callable[[float], object] | None = None) -> Answer:
        """Send one request; return the answer, or what there is of it when the time is over. Blocks.

        Args:
            request: what to send.
            leave: take the first chunk and no more.
            taken: told the number of bytes of the body that have arrived; infinity when no more of it is read.
        """
        return self._call([_Exchange(request, leave, taken)])[0]

    def call_at_once(self, requests: Sequence[Request]) -> list[Answer]:
        """Send all requests at once. Blocks."""
        return self._call([_Exchange(request, False, None) for request in requests])

    def _call(self, exchanges: Sequence[_Exchange]) -> list[Answer]:
        state = None if self._lifespan is None or not self._lifespan.supported else self._lifespan.state

        async def together() -> bool:
            runs = [exchange.run(self._application, state, self._timeout) for exchange in exchanges]
            if len(runs) == 1:
                await runs[0]
            else:
                await asyncio.gather(*runs)
            return True

        if self.loop.run(together(), self._timeout + GRACE + _SLACK) is None:
            for exchange in exchanges:
                exchange.answer.late = not exchange.ended
        return [exchange.result() for exchange in exchanges]


class _Exchange:
    """One call of the application, on the event loop."""

    def __init__(self, request: Request, leave: bool, taken: Callable[[float], object] | None) -> None:
        self._request = request
        self._leave = leave
        self._taken = taken
        self._body = bytearray()
        self._began = 0.0
        self._asked = False
        self._over: asyncio.Event | None = None  # the client has left, or has everything
        self.answer = Answer()
        self.ended = False

    def result(self) -> Answer:
        """Return the answer as far as it has come."""
        self.answer.body = bytes(self._body)
        return self.answer

    async def run(self, application: AsgiApplication, state: Mapping[str, Any] | None, timeout: float) -> None:
        """Call the application; what it raises goes into the answer.

        Args:
            application: what to call.
            state: of the lifespan.
            timeout: seconds until it is cancelled.
        """
        answer = self.answer
        self._over = over = asyncio.Event()
        scope = build_scope(self._request, state)
        self._began = time.perf_counter()
        task = asyncio.ensure_future(_awaited(application, scope, self._receive, self._send))
        await asyncio.wait([task], timeout=timeout)
        if not task.done():
            answer.late = True
            over.set()
            task.cancel()
            await asyncio.wait([task], timeout=GRACE)
        self.ended = task.done()
        if not task.done() or answer.late:
            return
        error = task.result()
        if error is not None and not (answer.cut and isinstance(error, OSError)):
            if answer.complete or answer.cut:
                answer.error_after = described(error)
            else:
                answer.error = described(error)
        elif not answer.complete and not answer.cut:
            answer.error = "the application returned before its response was complete"

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        assert self._over is not None
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        answer = self.answer
        assert self._over is not None
        kind = message["type"]
        if answer.cut or (answer.late and self._over.is_set()):
            raise ClientDisconnected("the client has left")  # ASGI HTTP specification 2.4, "Disconnected Client"
        if answer.complete:
            raise self._refuse(f"{kind} was sent after the last message of the response")
        if kind == "http.response.start":
            if answer.status is not None:
                raise self._refuse("http.response.start was sent twice")
            self._start(message)
        elif kind == "http.response.body":
            if answer.status is None:
                raise self._refuse("http.response.body was sent before http.response.start")
            self._take(message)
        else:
            raise self._refuse(f"{kind} was sent, which no server understands that did not offer it")

    def _refuse(self, problem: str) -> ApplicationError:
        self.answer.problems.append(problem)
        return ApplicationError(problem)

    def _start(self, message: Message) -> None:
        answer = self.answer
        status = message.get("status")
        if not isinstance(status, int) or not 100 <= status <= 999:
            raise self._refuse(f"status is a number of three digits; {status!r} was sent")
        headers: list[tuple[str, str]] = []
        for name, value in message.get("headers", ()):
            if not isinstance(name, bytes) or not isinstance(value, bytes):
                raise self._refuse(f"names and values of headers are bytes; {name!r}: {value!r} was sent")
            # Lower case by the specification, as Django does not send them, and by no server's need.
            headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))
        answer.status, answer.headers = status, headers

    def _take(self, message: Message) -> None:
        answer = self.answer
        chunk = message.get("body", b"")
        if not isinstance(chunk, bytes):
            raise self._refuse(f"body is bytes; {type(chunk).__name__} was sent")
        now = time.perf_counter()
        if chunk:
            answer.chunks += 1
            self._body += chunk
        if not message.get("more_body", False):
            answer.complete = True
            answer.seconds = now - self._began
        elif chunk:
            long = answer.chunks > 1 and now - self._began > LONG_STREAM
            answer.cut = self._leave or long or len(self._body) > MOST_BODY
        if (answer.complete or answer.cut) and self._over is not None:
            self._over.set()
        if chunk and self._taken is not None:
            self._taken(math.inf if answer.cut else len(self._body))


class _Lifespan:
    """One run of the lifespan protocol, on the event loop. Source: ASGI specification, "Lifespan Protocol"."""

    def __init__(self, application: AsgiApplication) -> None:
        self._application = application
        self._messages: asyncio.Queue[Message] | None = None
        self._changed: asyncio.Event | None = None
        self._task: asyncio.Future[Any] | None = None
        self.state: dict[str, Any] = {}
        self.supported = False
        self.failure: str | None = None

    async def start(self, timeout: float) -> None:
        """Ask the application to start; wait *timeout* seconds at most."""
        self._messages = asyncio.Queue()
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        self._task = asyncio.ensure_future(_awaited(self._application, scope, self._messages.get, self._send))
        await self._ask("startup", timeout)

    async def stop(self, timeout: float) -> None:
        """Ask it to shut down, if it has started; wait *timeout* seconds at most."""
        if self.supported and self.failure is None:
            await self._ask("shutdown", timeout)

    async def _ask(self, what: str, timeout: float) -> None:
        assert self._messages is not None
        assert self._task is not None
        self._changed = asyncio.Event()
        answered: asyncio.Future[Any] = asyncio.ensure_future(self._changed.wait())
        self._messages.put_nowait({"type": f"lifespan.{what}"})
        await asyncio.wait([answered, self._task], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            answered.cancel()
            if not self._task.done():
                self._task.cancel()
                self.failure = f"the {what} took more than {timeout:g} s"
            elif what == "shutdown":
                error = self._task.result()
                self.failure = "the application ended its lifespan too early" + (
                    f": {described(error)}" if error is not None else ""
                )

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self.supported = True
        elif kind in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
            self.failure = str(message.get("message") or "") or f"{kind} without a message"
        if self._changed is not None:
            self._changed.set()


async def _awaited(application: AsgiApplication, scope: Scope, receive: Any, send: Any) -> BaseException | None:
    """Call the application; return what it raises, since a task that raises SystemExit would stop the loop."""
    try:
        await application(scope, receive, send)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return error
    return None
