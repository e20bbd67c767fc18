"""One request and its response: the application in a worker thread, the server's send() on the event loop."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from concurrent.futures import CancelledError as CallCancelled
from io import BufferedReader
from typing import TYPE_CHECKING, Any, Final, cast
from wsgiref.util import FileWrapper

from bridge.errors import ApplicationError, BodyTooLarge, ClientDisconnected
from bridge.loop_thread import LoopClosed
from bridge.wsgi_to_asgi.file_response import take_file
from bridge.wsgi_to_asgi.order import Phase
from bridge.wsgi_to_asgi.parking import Parking
from bridge.wsgi_to_asgi.response import Response, what
from bridge.wsgi_to_asgi.spool import spool

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator
    from contextvars import Context
    from typing import IO

    from bridge.loop_thread import Crossing, Signal, Task, Waiter
    from bridge.protocols import Environ, Receive, Scope, Send, WsgiApplication
    from bridge.streams.crossed import Crossed
    from bridge.wsgi_to_asgi.crew import Threads
    from bridge.wsgi_to_asgi.early_hints import EarlyHints
    from bridge.wsgi_to_asgi.request_body import RequestBody

_logger = logging.getLogger("bridge")

# What an application raises that was told that nobody waits for it any more; the last two from run_async().
_TOLD_TO_STOP: Final = (ClientDisconnected, CancelledError, CallCancelled)

# Iterables that hold their whole body. Exactly these: a subclass may have a close(), or make its chunks as it goes.
_WHOLE: Final[tuple[type[Any], ...]] = (list, tuple)

# A chunk larger than this leaves in pieces, so that the server's own buffer holds one piece of it and not a copy.
_PIECE: Final = 1 << 18


class Exchange(Response):
    """One call of the application and everything that crosses for it."""

    # Whether it can go on without a thread while a stream has nothing to give.
    _can_park = True

    __slots__ = (
        "_application",
        "_body",
        "_context",
        "_detached",
        "_done",
        "_eager",
        "_environ",
        "_errors",
        "_leaving",
        "_listener",
        "_parking",
        "_receive",
        "_receive_error",
        "_spool_memory",
        "_spooled",
        "_waiter",
        "async_tasks",
        "disconnected",
        "hints",
        "owner",
        "refused",
        "watchers",
    )

    def __init__(
        self,
        owner: object,
        application: WsgiApplication,
        environ: Environ,
        context: Context,
        crossing: Crossing,
        receive: Receive,
        response_buffer: int,
    ) -> None:
        super().__init__(crossing, environ["REQUEST_METHOD"], response_buffer)
        self.owner = owner  # whose shutdown ends this exchange
        self._application = application
        self._environ = environ
        self._context = context
        self._receive = receive
        self._body: RequestBody | None = None
        self._spool_memory: int | None = None
        self._eager = False  # receive() is called at once, for a body that is read while it arrives

        # Worker thread writes.
        self._spooled: IO[bytes] | None = None
        self._parking: Parking | None = None  # once the application has a stream
        self._done = False  # the iterable is closed, the worker thread has left
        self._errors: list[BaseException] | None = None  # at most one; pop() decides which side reports it
        self.async_tasks: list[asyncio.Task[Any]] = []  # asgiref writes
        self.refused = False  # the bridge answered in the application's place

        # Event loop writes.
        self._waiter: Waiter | None = None
        self._listener: Task | None = None
        self._leaving = False  # the last message is on its way: what receive() says from here on means nothing
        self._detached = False  # the coroutine has left
        self._receive_error: BaseException | None = None
        self.disconnected = False
        self.hints: EarlyHints | None = None  # where the server takes them; set before the exchange is run

        # The thread of a shutdown writes.
        self.watchers: tuple[Signal, ...] = ()

    # -- event loop thread ------------------------------------------------------------------------------------

    def read_from(self, body: RequestBody, *, spool_memory: int | None, lazy: bool) -> None:
        """Let the worker thread read the request body while it arrives.

        Args:
            body: what becomes ``wsgi.input``.
            spool_memory: bytes of it that stay in memory when it is read to its end before the application is
                called; None: it is not read before.
            lazy: take the first message when the application reads for the first time.
        """
        self._body = body
        self._spool_memory = spool_memory
        self._eager = not lazy
        self._environ["wsgi.input"] = BufferedReader(body)

    def listen(self) -> None:
        """Begin to take messages from receive(): the body first, then the disconnect."""
        if self._listener is None and not self._detached:
            self._listener = self.crossing.start(self._listen)

    async def respond(self, send: Send) -> None:
        """Send the response as the worker thread produces it; return when the exchange is over.

        Raises:
            BaseException: what the application raised, or ``send()``, or ``receive()``.
            ClientDisconnected: the exchange was aborted, by a shutdown, before its response was complete.
        """
        if self._eager:
            self.listen()
        try:
            chunks = self._chunks
            head_sent = False
            while True:
                # Cleared before the look: what is put in after the look then posts a letter of its own.
                self._post_pending = False
                # Looked at in the reverse of the order in which the worker thread sets them: whoever sees
                # the end also sees all that came before.
                done = self._done
                ended = self._ended
                count = len(chunks)
                if self._gone is not None and not self._leaving:
                    if done:
                        break
                elif self._released and not self._leaving and (count or ended or not head_sent):
                    if not head_sent:
                        if self.hints is not None:
                            await self._send_hints(send)  # those from before the response
                        head_sent = True
                        head = self._head
                        if head is not None:
                            await send(head)
                    # Sliced off and not swapped: the worker thread may append meanwhile, to this very list.
                    if count == 1:
                        body = chunks[0]
                    elif count:
                        body = b"".join(chunks[:count])
                    else:
                        body = b""
                    del chunks[:count]
                    if ended:
                        # From here on receive() says http.disconnect because the response is complete.
                        self._leaving = True
                        if self._file is not None:
                            await self._file.send(send)
                            continue
                    if len(body) > _PIECE:
                        body = await self._send_pieces(send, body)
                    if body or ended:
                        await send({"type": "http.response.body", "body": body, "more_body": not ended})
                        self._delivered += len(body)
                        if self._blocked:
                            self._make_room()
                    continue
                elif done:
                    break
                if head_sent and not self._leaving:
                    # It streams: from now on a client that leaves should be noticed. A response that
                    # is complete at the first look never gets here.
                    self._listen_to_stream()
                elif self.hints is not None and self._gone is None and await self._send_hints(send):
                    continue
                self._waiter = self.crossing.waiter()
                await self._waiter
                self._waiter = None
        except BaseException as error:
            await self._give_up(error)
            raise
        # Taken before the worker thread can see that nobody waits for it any more.
        failure = None
        if self._errors is not None or self._receive_error is not None or self._gone is not None:
            failure = self._failure()
        self._detached = True
        try:
            if self._listener is not None:
                await self.crossing.finish(self._listener)
            if failure is not None:
                raise failure
        finally:
            del failure  # the traceback holds this frame: without this it would hold itself

    async def _give_up(self, error: BaseException) -> None:
        """Stop the worker thread: the coroutine leaves with *error*, and nobody waits for a response any more."""
        # OSError is how a server says that the client is gone; what is no Exception is a cancellation.
        self.disconnected = isinstance(error, OSError) or not isinstance(error, Exception)
        self._detached = True
        self.abort("the server ended the exchange: it cancelled it, or its send() failed")
        if self._file is not None:
            self._file.close()
        if self._done:
            self._report_error()
        if isinstance(error, GeneratorExit):
            # The coroutine was thrown away with its loop: there is nothing left to wait on.
            self.forsake("the server's event loop was closed during the exchange")
            return
        self._cancel_calls()
        if self._listener is not None:
            await self.crossing.finish(self._listener)

    def _failure(self) -> BaseException | None:
        """What an exchange that ran to its end has to raise."""
        error, lost = self._take_error(), self._receive_error
        if error is None:
            if lost is None and self._gone is not None and not self._leaving and not self.disconnected:
                return ClientDisconnected(self._gone)
            return lost
        if lost is not None and error.__cause__ is None:
            error.__cause__ = lost
        return error

    async def _send_pieces(self, send: Send, body: bytes) -> bytes:
        start = 0
        while len(body) - start > _PIECE:
            await send({"type": "http.response.body", "body": body[start : start + _PIECE], "more_body": True})
            self._delivered += _PIECE
            if self._blocked:
                self._make_room()
            start += _PIECE
            if self._gone is not None and not self._leaving:
                return b""
        return body[start:]

    async def _send_hints(self, send: Send) -> bool:
        message = self.hints.take() if self.hints is not None else None
        if message is None:
            return False
        await send(message)
        return True

    def _cancel_calls(self) -> None:
        self.crossing.cancel_calls(self.async_tasks)
        self._cancel_streams()

    def _cancel_streams(self) -> None:
        parking = self._parking
        if parking is not None:
            parking.cancel()

    def _make_room(self) -> None:
        self._blocked = False
        if self._room is not None:
            self._room.wake()
        parking = self._parking
        if parking is not None:
            if self.is_behind():
                self._blocked = True  # for the next that send() takes: a parked exchange does not announce itself again
            else:
                parking.look()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _drop_body(self) -> None:
        # An exchange without a thread reads nothing, and what lies unread hides that the client has left. Not before
        # the response has begun, if the client waits for "100 Continue".
        body = self._body
        if body is not None and not body.complete and (self._eager or self._released):
            body.discard()
            self.listen()

    def _listen_to_stream(self) -> None:
        # While a body is owed to a client that waits for "100 Continue", receive() would send that for a
        # body which nobody has asked for; the body's first read starts the listener instead.
        if self._body is None or self._body.complete:
            self.listen()

    async def _listen(self) -> None:
        try:
            if self._body is not None and not await self._body.pump(self._receive):
                if self._leaving:
                    # Who reads on in close(), as AsgiToWsgi does, would otherwise wait for bytes that cannot come.
                    self._body.abort(ClientDisconnected("the client left before the request's body was complete"))
            elif not await _watch(self._receive):
                return
        except Exception as error:
            if self._leaving:
                return
            self._receive_error = error
            self._lose(f"the server's receive() failed: {error!r}")
        else:
            if not self._leaving:
                self.disconnected = True
                self._lose("the client disconnected")

    def _lose(self, reason: str) -> None:
        self.abort(reason)
        self._cancel_streams()
        self._wake()

    def news(self, stream: Crossed) -> None:
        """Let a parked exchange go on if it waits for *stream*, which has given a chunk or has ended."""
        parking = self._parking
        if parking is not None:
            parking.news(stream)

    def watch_client(self) -> None:
        """Notice from now on when the client leaves, though nothing may have been sent yet."""
        self._listen_to_stream()

    # -- any thread -------------------------------------------------------------------------------------------

    def abort(self, reason: str) -> None:
        """Make the worker thread's next read and write raise ClientDisconnected with *reason*."""
        if self._gone is None:
            self._gone = reason
        if self._body is not None:
            self._body.abort(ClientDisconnected(reason))
        # Always, since a token too many is harmless: the worker thread may be about to wait.
        if self._room is not None:
            self._room.wake()

    def is_told_to_stop(self) -> bool:
        """Whether abort() was called."""
        return self._gone is not None

    def forsake(self, reason: str) -> None:
        """Be abort(), for an event loop that may have come to its end: what was to be done there is not waited for."""
        self.abort(reason)
        parking = self._parking
        if parking is not None:
            parking.forsake()

    def cancel_calls(self) -> None:
        """Cancel the asynchronous code that the application waits for. Any thread but the loop's."""
        try:
            self.crossing.post(self._cancel_calls)
        except LoopClosed:  # what ran there went with it
            self.forsake("the server's event loop was closed during the exchange")

    # -- worker thread ----------------------------------------------------------------------------------------

    def run(self) -> bool:
        """Call the application, iterate, close; all in the exchange's context.

        Returns:
            Whether that is done. If not, park() is to be called, and this again when the exchange can go on.
        """
        parking = self._parking
        if parking is None and self._gone is not None:
            return True
        done = True
        try:
            try:
                done = self._context.run(self._run if parking is None else self._go_on)
            finally:
                if done and (self._parking is not None or self._spooled is not None):
                    self._put_away()
        except BaseException as error:
            self._fail(error)
        return done

    def _put_away(self) -> None:
        parking = self._parking
        if parking is not None:
            parking.close()
            self._parking = None  # the two hold each other
        if self._spooled is not None:
            self._spooled.close()

    def park(self, threads: Threads) -> None:
        """Leave the thread; *threads* resumes it when there is something to do. After run() has returned False."""
        parking = cast("Parking", self._parking)
        self._blocked = True
        body = self._body
        parking.park(threads)
        # Nothing is written from here on: another thread may have it already.
        if body is not None and not body.complete and not body.discards:
            try:
                self.crossing.post(self._drop_body)
            except LoopClosed:
                pass  # and with it the client
        if self._gone is not None:  # who said so could not resume it before, and may have been this thread
            self.cancel_calls()

    def join(self, stream: Crossed) -> None:
        """Take *stream* for a part of this exchange."""
        if self._parking is None:
            self._parking = Parking(self, allowed=self._can_park)
        self._parking.streams.append(stream)

    def offer(self, stream: Crossed, mark: int) -> bool:
        """Let *stream* give an empty chunk, at which the exchange leaves its thread until there is one after *mark*."""
        return self._parking is not None and self._parking.offer(stream, mark)

    def hold(self) -> None:
        """Let others go on in the place of this exchange, whose thread has to wait for a stream."""
        if self._parking is not None:
            self._parking.hold()

    def answer_nothing(self) -> None:
        """Let the response be 204 if it has no body; what the application has iterated itself does not count."""
        if self._parking is not None and self._phase is Phase.HELD:
            self._parking.nothing = True

    def can_hint(self) -> bool:
        """Whether early hints would still come before the response."""
        if self._gone is not None:
            raise ClientDisconnected(self._gone)
        return not self._released

    def hint(self) -> None:
        """Let the loop look at the early hints."""
        if not self._post_pending:
            self._post()

    def finish(self) -> None:
        """Tell the loop that the worker thread has left."""
        if self.hints is not None:
            self.hints.end()
        if self._body is not None:
            self._body.abort(ClientDisconnected("wsgi.input was read after the exchange had ended"))
        self._done = True
        if not self._post_pending:
            self._post()
        # Both sides set their flag and then look at the other's, so one of them at least reports.
        if self._detached:
            self._report_error()
        for watcher in self.watchers:
            watcher.wake()

    def _report_error(self) -> None:
        error = self._take_error()
        if error is not None:
            # The coroutine has left, so nobody else would ever see it.
            _logger.error("Exception in a WSGI application whose exchange was over", exc_info=error)

    def _take_error(self) -> BaseException | None:
        try:
            return self._errors.pop() if self._errors is not None else None
        except IndexError:  # the other side was first
            return None

    def _run(self) -> bool:
        if self._spool_memory is not None and not self._spool_body(self._spool_memory):
            return True
        iterable: Any = self._application(self._environ, self._start_response)
        if type(iterable) in _WHOLE:
            self._put_whole(iterable)
            return True  # neither has a close()
        if type(iterable) is FileWrapper and self._hand_over(iterable):
            return True
        return self._iterate(iterable, None)

    def _hand_over(self, wrapper: FileWrapper) -> bool:
        """Leave a file to the server, if nothing else of the body has left; return False if it has to be iterated."""
        if self._phase is not Phase.HELD or self._bodiless:
            return False
        scope: Scope = self._environ.get("asgi.scope") or {}
        file = take_file(wrapper, self._length, scope.get("extensions") or {})
        if file is None:
            return False
        try:
            # Before the server gets it. With Granian send() returns before the file is opened, so that an application
            # that removes its file here would have sent a 404; this way, what it does here is seen.
            _close(wrapper)
        finally:
            self._put_file(file)
        return True

    def _go_on(self) -> bool:
        return self._iterate(*cast("Parking", self._parking).rest)

    def _iterate(self, iterable: Any, iterator: Iterator[bytes] | None) -> bool:
        """Iterate to the end and close, and return True; or False, where the exchange is to be parked."""
        try:
            if iterator is None:
                iterator = _begin(iterable)
            elif self._gone is not None:
                raise ClientDisconnected(self._gone)
            for chunk in iterator:
                parking = self._parking
                if parking is None:
                    if self._put(chunk):
                        break
                    continue
                parking.leaves = parking.allowed
                stop = self._put(chunk)
                parking.leaves = False
                if stop:
                    break
                if parking.is_due(chunk):
                    if not self._ended and not self._bodiless:
                        parking.rest = iterable, iterator
                        return False
                    if not chunk:
                        break  # no more of the body can leave, so nobody waits for the stream
            parking = self._parking
            if parking is not None and parking.nothing:
                self._make_204()
            self._end()
        except BaseException:
            if self._gone is not None and self._parking is not None:
                self._parking.close()  # what runs on the loop has ended when the application is told
            try:
                _close(iterable)
            except Exception:
                # The first error is the one to raise; this one would hide it.
                _logger.exception("close() of a WSGI application's iterable failed, after another error")
            raise
        _close(iterable)
        return True

    def _wait_for_room(self) -> None:
        parking = self._parking
        if parking is None or not parking.leaves:
            super()._wait_for_room()

    def _fail(self, error: BaseException) -> None:
        if self._gone is not None and isinstance(error, _TOLD_TO_STOP):
            return  # the application was told to stop, and did
        if not isinstance(error, Exception):
            # SystemExit, KeyboardInterrupt, CancelledError, GeneratorExit: on the loop each would end
            # something larger than this exchange.
            converted = ApplicationError(f"the application raised {type(error).__name__}")
            converted.__cause__ = error
            error = converted
        self._errors = [error]

    def _spool_body(self, memory: int) -> bool:
        """Read a body of unknown length to its end; return False if the application is not to be called."""
        environ = self._environ
        try:
            self._spooled, size = spool(environ["wsgi.input"], memory)
        except BodyTooLarge:
            self.refused = True
            text = b"The request body is too large.\n"
            self._start_response("413 Content Too Large", [("Content-Type", "text/plain; charset=utf-8")])
            self._put_whole([text])
            return False
        environ["wsgi.input"] = self._spooled
        set_length(environ, size)
        return True


def set_length(environ: Environ, size: int) -> None:
    """Let *environ* say that the body has *size* bytes, whatever it said before."""
    environ["CONTENT_LENGTH"] = str(size)
    # Bottle and others take the framing apart again where they find this.
    environ.pop("HTTP_TRANSFER_ENCODING", None)


async def _watch(receive: Receive) -> bool:
    """Wait until the client goes away; return False if *receive* cannot tell."""
    ended = False
    while (message := await receive())["type"] != "http.disconnect":
        if not message.get("more_body", False):
            if ended:
                # The request ends once. A middleware that replays it at every call never says
                # http.disconnect, and may never give the loop a turn.
                return False
            ended = True
    return True


def _begin(iterable: Iterable[bytes]) -> Iterator[bytes]:
    try:
        return iter(iterable)
    except TypeError:
        raise ApplicationError(
            f"a WSGI application returns an iterable of bytes; this one returned {what(iterable)}"
        ) from None


def _close(iterable: object) -> None:
    close = getattr(iterable, "close", None)
    if close is not None:
        close()
