"""One request and its response: receive() and send() on a loop, the iterable in the server's thread. Knows neither."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from bridge.asgi_to_wsgi.gate import BURST
from bridge.asgi_to_wsgi.hosts import forget_outer_loop, wait_among, wake
from bridge.asgi_to_wsgi.messages import is_cancellation, is_disconnect, to_bytes, translate_links, wrong_length
from bridge.asgi_to_wsgi.order import NEXT, Phase, Signal, describe
from bridge.asgi_to_wsgi.response_body import open_file, size_of
from bridge.asgi_to_wsgi.response_head import translate_start
from bridge.errors import ApplicationError, ClientDisconnected
from bridge.http import has_body

if TYPE_CHECKING:
    from collections.abc import Container
    from typing import IO

    from bridge.asgi_to_wsgi.hosts import Host
    from bridge.asgi_to_wsgi.read_ahead import ReadAhead
    from bridge.loop_thread import Waiter
    from bridge.protocols import AsgiApplication, Environ, Message, Scope, StartResponse

_logger = logging.getLogger("bridge")

# How long an application may go on by itself once it has been told that its client is gone, in seconds. A guess:
# enough to put things away, short for a thread of the server that waits for it.
DISCONNECT_GRACE: Final = 2.0

# Bound once: the lookup of an Enum member costs as much as the decision it is for.
_IDLE, _HELD, _SENT, _DONE = Phase
_HINT, _START, _CHUNK, _LAST, _FILE = Signal


class Exchange:
    """One call of the application and everything that crosses for it.

    Two sides touch it, the server's thread and the event loop. Where the server's thread runs the loop they take
    turns; elsewhere each attribute is written by one of them, and a flag is set after what it announces.
    """

    __slots__ = (
        "_application",
        "_asked",
        "_behind",
        "_burst",
        "_chunks",
        "_complete",
        "_detached",
        "_environ",
        "_error",
        "_finished",
        "_gone",
        "_head",
        "_hints",
        "_host",
        "_length",
        "_limit",
        "_patience",
        "_phase",
        "_produced",
        "_released",
        "_request_body",
        "_scope",
        "_taken",
        "_unended",
        "_waiters",
        "bodiless",
        "closed",
        "file",
    )

    def __init__(
        self,
        application: AsgiApplication,
        scope: Scope,
        environ: Environ,
        host: Host,
        request_body: ReadAhead | None,
        limit: int,
        patience: float,
    ) -> None:
        """Make the exchange; :meth:`begin` starts it.

        Args:
            application: an ASGI 3 application.
            scope: its first argument.
            environ: what the scope was made of.
            host: where the application's coroutine runs.
            request_body: None when no body follows.
            limit: bytes that the application may be ahead of the server.
            patience: seconds that a cancelled application may take to end.
        """
        self._application = application
        self._scope = scope
        self._environ = environ
        self._host = host
        self._request_body = request_body
        self._limit = limit
        self._patience = patience

        # Event loop writes.
        self._asked = False  # receive() has given the whole body of the request
        self._phase = _IDLE
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self._length: int | None = None  # bytes that the application declared
        self.bodiless = False  # set before the phase leaves _IDLE
        self._chunks: list[bytes] = []  # the loop appends; the server's thread takes from the front
        self._produced = 0  # bytes put into _chunks
        self._hints: list[list[tuple[str, str]]] | None = None  # as _chunks
        self._complete = False  # the last message is in; set after the last chunk
        self._error: BaseException | None = None
        self._finished = False  # the coroutine has ended; set after _error
        self._waiters: list[Waiter] = []
        self._burst = 0  # calls of send() that did not have to wait
        self._behind = False  # set by the loop before it looks, cleared by the server's thread before it wakes it
        self.file: IO[bytes] | None = None  # the body, of http.response.pathsend; set before _complete

        # Server's thread writes.
        self._taken = 0  # bytes that the server has taken
        self._gone: str | None = None  # why nobody waits for the response any more; set once
        self._released = False  # the client has the whole response
        self._detached = False  # the server's thread has left, and the application goes on
        self.closed = False

        # Either side pops it.
        self._unended = [None]

    # -- event loop -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Call the application; what it raises is kept for the server's thread."""
        forget_outer_loop()
        try:
            await self._application(self._scope, self.receive, self.send)
        except BaseException as error:
            # SystemExit and its like as well: it is the server's thread that they are to end, and not the loop. And
            # a cancellation, of whatever kind this loop has, since nothing of the task is left that it could end.
            self._error = error
        finally:
            self._finished = True
            if self._unended:  # else it was left alone, and its loop may be closed
                self._host.pause()
            if self._detached:
                self._end()

    async def receive(self) -> Message:
        """Give the request's body, and ``http.disconnect`` when the exchange is over: the ``receive`` of ASGI."""
        while not self._over():
            if not self._asked:
                if self._request_body is None:
                    self._asked = True
                    return {"type": "http.request", "body": b"", "more_body": False}
                message = self._request_body.take(self._wake)
                if message is not None:
                    self._asked = not message.get("more_body", True)
                    return message
                self._host.pause()  # the server's thread has to read
            await wait_among(self._waiters, self._host.waiter())
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take one message of the response: the ``send`` of ASGI.

        Raises:
            ClientDisconnected: nobody waits for the response any more.
            ApplicationError: the message breaks the ASGI specification.
        """
        if self._gone is not None:
            raise ClientDisconnected(self._gone)
        kind = message.get("type")
        if kind == "http.response.body":
            body = message.get("body", b"")
            last = not message.get("more_body", False)
            phase = NEXT.get((self._phase, _LAST if last else _CHUNK))
            if phase is None:
                raise ApplicationError(describe(self._phase, kind))
            if type(body) is not bytes:
                body = to_bytes(body)
            if last and self._phase is _HELD:
                self._declare(len(body))
            self._put(body, last)
            self._phase = phase
            host = self._host
            host.pause()
            if host.takes_turns:
                # The server's thread goes on when this turn of the loop ends, so it has the chunk before the
                # application does anything else; it comes back when it wants more, or has delivered all.
                await host.gate
                if self._gone is not None:
                    raise ClientDisconnected(self._gone)
            else:
                await self._keep_up()
        elif kind == "http.response.start":
            if self._phase is not _IDLE:
                raise ApplicationError(describe(self._phase, kind))
            code, status, headers, self._length = translate_start(message)
            self.bodiless = self._scope["method"] == "HEAD" or not has_body(code)
            self._head = status, headers
            self._phase = _HELD
            return
        elif kind == "http.response.pathsend" and kind in self._extensions():
            self._open_file(message)
            self._host.pause()
            await self._keep_up()
        elif kind == "http.response.early_hint" and kind in self._extensions():
            if NEXT.get((self._phase, _HINT)) is None:
                raise ApplicationError(describe(self._phase, kind))
            if self._hints is None:
                self._hints = []
            self._hints.append(translate_links(message))
            self._host.pause()
        else:
            raise ApplicationError(f"the application sent a message of type {kind!r}, which the scope does not offer")

    def _declare(self, length: int) -> None:
        """Add Content-Length to a body that is there as a whole: without it many servers end it only by close()."""
        if self._length is None and not self.bodiless and self._head is not None:
            self._head[1].append(("content-length", str(length)))
            self._length = length

    def _put(self, body: bytes, last: bool) -> None:
        if not self.bodiless:
            produced = self._produced + len(body)
            length = self._length
            if length is not None and (produced > length or (last and produced < length)):
                raise wrong_length(length, produced)
            if body:
                self._produced = produced
                self._chunks.append(body)
        if last:
            self._complete = True

    def _extensions(self) -> Container[str]:
        extensions: Container[str] = self._scope.get("extensions") or ()
        return extensions

    def _open_file(self, message: Message) -> None:
        phase = NEXT.get((self._phase, _FILE))
        if phase is None:
            raise ApplicationError(describe(self._phase, "http.response.pathsend"))
        if not self.bodiless:
            # Here, so that a file that cannot be read is an error of the application, with its response unsent.
            self.file = open_file(message.get("path"))
            size = size_of(self.file)
            if size is not None:
                # It may have changed since the application looked at it; and servers go by what they read.
                self._declare(size)
                if self._length != size:
                    raise ApplicationError(
                        f"the application declared Content-Length {self._length} for a file of {size} bytes"
                    )
        self._complete = True
        self._phase = phase

    async def _keep_up(self) -> None:
        """Wait until the application may go on.

        Before the last message that is the backpressure. After it the client has to have the whole response first:
        what follows (background tasks) may take any time.
        """
        while True:
            # Announced before the look: what the server's thread takes after the look finds the announcement.
            self._behind = True
            if self._released if self._complete else self._produced - self._taken <= self._limit:
                self._behind = False
                break
            if self._gone is not None:
                raise ClientDisconnected(self._gone)
            await wait_among(self._waiters, self._host.waiter())
        self._burst += 1
        if self._burst % BURST == 0:
            # Others are on this loop, and timers of the application: who never has to wait must not keep them off.
            self._host.post(self._wake)
            await wait_among(self._waiters, self._host.waiter())

    def _over(self) -> bool:
        return self._gone is not None or self._released

    def _wake(self) -> None:
        wake(self._waiters)

    # -- server's thread --------------------------------------------------------------------------------------

    def begin(self, start_response: StartResponse) -> None:
        """Call the application and start the response; return when its body has begun.

        Raises:
            BaseException: what the application raised before that.
            ApplicationError: it returned without a response, or was cancelled.
        """
        self._host.start(self.run)
        if self._hints:
            self._send_hints()  # those of a first step that was made at once
        while self._phase <= _HELD and not self._finished:
            self._work()
        if self._hints:
            self._send_hints()  # those that came between the last look and the start
        if self._phase <= _HELD or self._head is None:
            raise self._failure()
        if self._request_body is not None:
            self._request_body.give_up_before_headers()
        start_response(*self._head)

    def next(self) -> bytes:
        """Return the chunks that lie there as one, ``b""`` at the end; waits for the next if there is none.

        Raises:
            BaseException: what the application raised; ApplicationError if it left its response incomplete.
        """
        chunks = self._chunks
        while True:
            # Looked at in the reverse of the order in which the loop sets them.
            complete, finished = self._complete, self._finished
            count = len(chunks)
            if count:
                # Sliced off and not swapped: the loop may append meanwhile, to this very list.
                body = chunks[0] if count == 1 else b"".join(chunks[:count])
                del chunks[:count]
                self._taken += len(body)
                if self._behind and not complete:
                    self._behind = False
                    self._host.post(self._wake)
                return body
            if complete or self.bodiless:
                return b""
            if finished:
                raise self._failure()
            self._work()

    def close(self) -> None:
        """End the exchange; return when the application has ended. May be called again.

        A response that is complete and taken is delivered: the application goes on after its last message, and where
        the loop goes on by itself this does not wait for it.
        Otherwise it is told ``http.disconnect``, and cancelled if it goes on for more than ``DISCONNECT_GRACE``.

        Raises:
            BaseException: KeyboardInterrupt, SystemExit and what else is no Exception, of the application.
        """
        if self.closed:
            return
        self.closed = True
        grace = DISCONNECT_GRACE
        if self.bodiless and self._phase is _SENT:
            grace /= 2
            self._drain(grace)
        if self._complete and not self._chunks:
            self._released = True
        else:
            self._gone = "the server closed the response before it was complete: its client is gone"
        if self.file is not None:
            self.file.close()
        if self._request_body is not None:
            self._request_body.stop()
        try:
            if not self._finished:
                if self._waiters or not self._host.takes_turns:
                    self._host.post(self._wake)
                while self._host.step():
                    pass  # several, where tasks of the application were in send() at the same time
            if not self._finished and not (self._released and self._host.goes_on):
                self._finish(grace)
            if self._request_body is not None:
                # Now and not before: a client that has stopped sending must not keep the application from its end.
                self._request_body.join()
            if not self._finished:
                # Both sides set their flag and then look at the other's, so one of them at least ends it.
                self._detached = self._released
                if self._detached and not self._finished:
                    return
        except BaseException:
            self._end()
            raise
        self._end()

    def _end(self) -> None:
        """Give the loop back and say what went wrong; the first call does. Either side."""
        try:
            self._unended.pop()
        except IndexError:  # the other side was first
            return
        self._host.end(finished=self._finished)
        error, self._error = self._error, None
        if error is not None:
            if self._detached or isinstance(error, Exception):
                self._report(error)
            elif not is_cancellation(error):
                raise error  # SystemExit and its like are for the server's thread, if that is still here

    def _finish(self, grace: float) -> None:
        if self._released:
            while not self._finished:
                self._work()
            return
        self._wait_until_finished(grace)
        if not self._finished:
            self._host.cancel()
            self._wait_until_finished(self._patience)
        if not self._finished:
            _logger.error(
                "The application goes on %g s after its client left, although it was cancelled: it is left alone "
                "(%s %s; option shutdown_timeout).",
                grace + self._patience,
                self._scope["method"],
                self._scope["path"],
            )

    def _drain(self, timeout: float) -> None:
        """Let an application that sends a body to a client that gets none come to its end; not for ever."""
        deadline = time.monotonic() + timeout
        while not (self._complete or self._finished) and (left := deadline - time.monotonic()) > 0:
            if not self._host.step():
                self._host.wait_for(left)

    def _wait_until_finished(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self._finished and (left := deadline - time.monotonic()) > 0:
            self._host.wait_for(left)

    def _work(self) -> None:
        """Let the application go on until it has something for this thread, or do what it asked for last."""
        body = self._request_body
        if body is not None and body.wanted:
            # Before the wait and not after it: what was sent in the same turn leaves before a read that may block.
            body.attend()
            self._host.post(self._wake)
            return
        host = self._host
        # Mostly the application has its next chunk at once, and the loop need not turn for it.
        if not host.step():
            host.wait()
        if self._hints:
            self._send_hints()

    def _send_hints(self) -> None:
        while self._hints:
            self._environ["wsgi.early_hints"](self._hints.pop(0))

    def _failure(self) -> BaseException:
        """What the server is told of a response that cannot be completed."""
        error, self._error = self._error, None
        if error is not None and not is_cancellation(error):
            return error
        if error is not None:
            failure = ApplicationError("the application was cancelled before its response was complete")
            failure.__cause__ = error
            return failure
        if self._request_body is not None and (cut := self._request_body.cut) is not None:
            # Many frameworks just return then. It is nobody's fault, so the server is told what it would have found.
            return ClientDisconnected(*cut.args)
        if self._phase is _SENT:
            return ApplicationError("the application returned before its response was complete")
        return ApplicationError("the application returned without a response")

    def _report(self, error: BaseException) -> None:
        """Say what went wrong after the server has had what it wanted."""
        if is_cancellation(error):
            return  # by us
        if self._gone is not None and is_disconnect(error):
            return  # it was told that the client is gone, and ended
        _logger.error("Exception in an ASGI application whose response was over", exc_info=error)
