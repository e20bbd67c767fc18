"""One request and its response: the application in a worker thread, the server's send() on the event loop."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from io import BufferedReader
from typing import TYPE_CHECKING, Any, Final

from bridge.errors import ApplicationError, BodyTooLarge, ClientDisconnected
from bridge.http import has_body
from bridge.loop_thread import LoopClosed, Signal
from bridge.wsgi_to_asgi import order
from bridge.wsgi_to_asgi.order import NEXT, WRONG
from bridge.wsgi_to_asgi.response_head import can_have_body, translate_head
from bridge.wsgi_to_asgi.spool import spool

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
    from contextvars import Context
    from types import TracebackType
    from typing import IO, TypeAlias

    from bridge.loop_thread import Crossing, Task, Waiter
    from bridge.wsgi_to_asgi.request_body import RequestBody

    Environ: TypeAlias = dict[str, Any]
    ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
    StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
    Application: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
    Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_logger = logging.getLogger("bridge")

# Bound once: the lookup of an Enum member costs as much as the decision it is for.
_IDLE, _HELD, _SENT, _DONE = order.Phase
_START, _RESTART, _CHUNK, _WHOLE, _END = order.Signal

# A chunk larger than this leaves in pieces, so that the server's own buffer holds one piece of it and not a copy.
_PIECE: Final = 1 << 18


class Exchange:
    """One call of the application and everything that crosses for it.

    Attributes are written by one side only, as the groups in ``__init__`` say, so none needs a lock; the order
    in which one side writes and the other reads them is what the comments at those places are about.
    """

    __slots__ = (
        "_application",
        "_blocked",
        "_bodiless",
        "_body",
        "_chunks",
        "_context",
        "_delivered",
        "_detached",
        "_done",
        "_ended",
        "_environ",
        "_errors",
        "_gone",
        "_head",
        "_leaving",
        "_length",
        "_limit",
        "_listener",
        "_phase",
        "_post_pending",
        "_produced",
        "_receive",
        "_receive_error",
        "_released",
        "_room",
        "_sent_length",
        "_spool",
        "_spooled",
        "_waiter",
        "async_tasks",
        "crossing",
        "disconnected",
        "owner",
        "refused",
    )

    def __init__(
        self,
        owner: object,
        application: Application,
        environ: Environ,
        context: Context,
        crossing: Crossing,
        receive: Receive,
        response_buffer: int,
    ) -> None:
        self.owner = owner  # whose shutdown ends this exchange
        self._application = application
        self._environ = environ
        self._context = context
        self.crossing = crossing
        self._receive = receive
        self._limit = response_buffer
        self._body: RequestBody | None = None
        self._spool = False
        self._spooled: IO[bytes] | None = None

        # Worker thread writes.
        self._phase = _IDLE
        self._head: dict[str, Any] | None = None  # http.response.start, replaceable until it is released
        self._length: int | None = None  # bytes the application declared, or the bridge knows
        self._bodiless = False
        self._produced = 0  # bytes put into _chunks
        self._chunks: list[bytes] = []  # worker thread appends; the loop takes from the front
        self._released = False  # headers may leave
        self._ended = False  # the last chunk is in
        self._done = False  # the iterable is closed, the worker thread has left
        self._errors: list[BaseException] | None = None  # at most one; pop() decides which side reports it
        self._blocked = False  # set by the worker thread before it waits, cleared by the loop before it wakes it
        self._room: Signal | None = None
        self.async_tasks: list[asyncio.Task[Any]] = []
        self.refused = False  # the bridge answered in the application's place

        # Event loop writes.
        self._delivered = 0  # bytes that send() has taken
        self._waiter: Waiter | None = None
        self._listener: Task | None = None
        self._leaving = False  # the last message is on its way: what receive() says from here on means nothing
        self._detached = False  # the coroutine is gone
        self._receive_error: BaseException | None = None
        self.disconnected = False

        # Either side writes; once.
        self._gone: str | None = None  # why the worker thread shall stop
        self._post_pending = False  # set by the worker thread when it posts, cleared by the loop before it looks

    # -- event loop thread ------------------------------------------------------------------------------------

    def feed_from(self, body: RequestBody, *, spooled: bool) -> None:
        """Take the request body from *body*, as ``wsgi.input`` or spooled before the application is called."""
        self._body = body
        self._spool = spooled
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
                    if len(body) > _PIECE:
                        body = await self._send_pieces(send, body)
                    if body or ended:
                        await send({"type": "http.response.body", "body": body, "more_body": not ended})
                        self._took(len(body))
                    continue
                elif done:
                    break
                if head_sent and not self._leaving:
                    # It streams: from now on a client that leaves should be noticed. A response that
                    # is complete at the first look never gets here.
                    self._listen_to_stream()
                self._waiter = self.crossing.waiter()
                await self._waiter
                self._waiter = None
        except BaseException as error:
            # OSError is how a server says that the client is gone; what is no Exception is a cancellation.
            self.disconnected = isinstance(error, OSError) or not isinstance(error, Exception)
            self._detached = True
            self.abort("the server ended the exchange: it cancelled it, or its send() failed")
            for task in list(self.async_tasks):
                task.cancel()
            if self._done:
                self._report_error()
            raise
        finally:
            self._detached = True
            if self._listener is not None:
                await self.crossing.finish(self._listener)
        failure = self._failure()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # the traceback holds this frame: without this it would hold itself

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
            self._took(_PIECE)
            start += _PIECE
            if self._gone is not None and not self._leaving:
                return b""
        return body[start:]

    def _took(self, size: int) -> None:
        self._delivered += size
        if self._blocked:
            self._blocked = False
            if self._room is not None:
                self._room.wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _listen_to_stream(self) -> None:
        # While a body is owed to a client that waits for "100 Continue", receive() would send that for a
        # body which nobody has asked for; the body's first read starts the listener instead.
        if self._body is None or self._body.complete:
            self.listen()

    async def _listen(self) -> None:
        try:
            if self._body is None or await self._body.pump(self._receive):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
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
        self._wake()

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

    # -- worker thread ----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Call the application, iterate, close; all in the exchange's context."""
        if self._gone is not None:
            return
        try:
            self._context.run(self._run)
        except BaseException as error:
            self._fail(error)
        if self._spooled is not None:
            self._spooled.close()

    def finish(self) -> None:
        """Tell the loop that the worker thread has left."""
        if self._body is not None:
            self._body.abort(ClientDisconnected("wsgi.input was read after the exchange had ended"))
        self._done = True
        self._post()
        # Both sides set their flag and then look at the other's, so one of them at least reports.
        if self._detached:
            self._report_error()

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

    def _run(self) -> None:
        if self._spool and not self._spool_body():
            return
        iterable: Any = self._application(self._environ, self._start_response)
        try:
            if type(iterable) is list or type(iterable) is tuple:
                self._put_whole(iterable)
                return  # neither has a close()
            for chunk in _iterate(iterable):
                if self._put(chunk):
                    break
            self._end()
        except BaseException:
            try:
                _close(iterable)
            except Exception:
                # The first error is the one to raise; this one would hide it.
                _logger.exception("close() of a WSGI application's iterable failed, after another error")
            raise
        _close(iterable)

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """The ``start_response`` of PEP 3333."""
        phase = NEXT.get((self._phase, _START if exc_info is None else _RESTART))
        if phase is None:
            if exc_info is not None and exc_info[1] is not None:
                try:
                    # PEP 3333, "Error Handling": the headers have left, so the error is all that is left to say.
                    raise exc_info[1].with_traceback(exc_info[2])
                finally:
                    exc_info = None  # break the cycle through this frame, as the PEP asks
            raise self._out_of_order(_START)
        code, translated, length = translate_head(status, headers)
        self._phase = phase
        self._length = length
        self._bodiless = not can_have_body(self._environ["REQUEST_METHOD"], code)
        self._head = {"type": "http.response.start", "status": code, "headers": translated}
        return self._write

    def _write(self, chunk: bytes) -> None:
        """The ``write()`` of PEP 3333."""
        if self._put(chunk) and not self._bodiless:
            raise ApplicationError(f"write() was called for more than the {self._length} bytes of Content-Length")

    def _put(self, chunk: bytes) -> bool:
        """Hand over one chunk; wait while the client is behind. Return whether iteration shall stop."""
        if self._gone is not None:
            raise ClientDisconnected(self._gone)
        if type(chunk) is not bytes and not isinstance(chunk, bytes):
            raise _not_bytes(chunk)
        if not chunk:
            return False
        if self._phase is _DONE:
            return self._overrun(len(chunk))
        if self._phase is not _SENT:
            self._advance(_CHUNK)
            self._released = True
        if self._bodiless:
            self._complete()
            return True
        overrun = 0
        if self._length is not None:
            overrun = self._produced + len(chunk) - self._length
            if overrun > 0:
                chunk = chunk[:-overrun]
        self._chunks.append(chunk)
        self._produced += len(chunk)
        if self._length is not None and overrun >= 0:
            # The client has all it was promised: the response need not wait for the iterable to end.
            self._complete()
            return overrun > 0 and self._overrun(overrun)
        self._post()
        if self._produced - self._delivered > self._limit:
            self._wait_for_room()
        return False

    def _put_whole(self, chunks: list[bytes] | tuple[bytes, ...]) -> None:
        """Hand over a body that is there as a whole: its length is known, and one wake-up carries it all."""
        for chunk in chunks:
            if type(chunk) is not bytes and not isinstance(chunk, bytes):
                raise _not_bytes(chunk)
        total = len(chunks[0]) if len(chunks) == 1 else sum(map(len, chunks))
        if self._phase is _HELD and not self._bodiless:
            if self._length is None:
                self._declare(total)
            elif total < self._length:
                # Nothing has left yet, so this can still be an error page instead of a cut connection.
                raise self._too_short(total)
            if 0 < total <= self._limit and total == self._length and self._gone is None:
                self._phase = NEXT[_HELD, _WHOLE]
                self._chunks.append(chunks[0] if len(chunks) == 1 else b"".join(chunks))
                self._produced = total
                self._released = self._ended = True
                return  # finish() posts it
        elif self._phase is _HELD and total and self._length is None and self._length_is_free():
            self._declare(total)  # what GET would say
        for chunk in chunks:
            if self._put(chunk):
                break
        self._end()

    def _length_is_free(self) -> bool:
        """Whether a response to HEAD may say how long the body is that it leaves out."""
        return self._head is not None and has_body(self._head["status"])

    def _end(self) -> None:
        """Complete the response, unless it is complete already."""
        if self._phase is _DONE:
            return
        if self._gone is not None:
            raise ClientDisconnected(self._gone)
        if not self._bodiless:
            if self._length is None:
                if self._phase is _HELD:
                    self._declare(0)
            elif self._produced < self._length:
                raise self._too_short(self._produced)
        self._complete()

    def _complete(self) -> None:
        self._advance(_END)
        self._released = True
        self._ended = True
        self._post()

    def _overrun(self, size: int) -> bool:
        # PEP 3333, "Handling the Content-Length Header": never more than declared, and stop iterating.
        if not self._bodiless:
            _logger.error(
                "The application produced at least %d bytes more than the %s of its Content-Length: they are not sent.",
                size,
                self._length,
            )
        return True

    def _declare(self, length: int) -> None:
        self._length = length
        if self._head is not None:
            self._head["headers"].append((b"content-length", b"%d" % length))

    def _too_short(self, produced: int) -> ApplicationError:
        return ApplicationError(
            f"the application declared Content-Length {self._length} and produced {produced} bytes; the response is "
            "cut, since it would look complete to nobody"
        )

    def _advance(self, did: order.Signal) -> None:
        phase = NEXT.get((self._phase, did))
        if phase is None:
            raise self._out_of_order(did)
        self._phase = phase

    def _out_of_order(self, did: order.Signal) -> ApplicationError:
        return ApplicationError(f"the application broke PEP 3333: {WRONG[self._phase, did]}")

    def _wait_for_room(self) -> None:
        if self._room is None:
            self._room = Signal()
        while self._gone is None:
            # Announced before the look: what the loop delivers after the look finds the announcement.
            self._blocked = True
            if self._produced - self._delivered <= self._limit:
                return
            # Waiting here is the backpressure: without it a slow client fills memory at the speed
            # of a fast application.
            self._room.wait()
        raise ClientDisconnected(self._gone)

    def _post(self) -> None:
        if not self._post_pending:
            self._post_pending = True
            try:
                self.crossing.post(self._wake)
            except LoopClosed:
                # Nobody is left to tell; the next chunk, if there is one, stops the application.
                self._gone = self._gone or "the server's event loop was closed during the exchange"

    def _fail(self, error: BaseException) -> None:
        if self._gone is not None and isinstance(error, (ClientDisconnected, CancelledError)):
            return  # the application was told to stop, and did
        if not isinstance(error, Exception):
            # SystemExit, KeyboardInterrupt, CancelledError, GeneratorExit: on the loop each would end
            # something larger than this exchange.
            converted = ApplicationError(f"the application raised {type(error).__name__}: {error}")
            converted.__cause__ = error
            error = converted
        self._errors = [error]

    def _spool_body(self) -> bool:
        """Read a body of unknown length to its end; return False if the application is not to be called."""
        environ = self._environ
        try:
            self._spooled, size = spool(environ["wsgi.input"], self._limit)
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


def _iterate(iterable: Iterable[bytes]) -> Iterator[bytes]:
    try:
        return iter(iterable)
    except TypeError:
        raise ApplicationError(
            f"a WSGI application returns an iterable of bytes; this one returned {_what(iterable)}"
        ) from None


def _close(iterable: object) -> None:
    close = getattr(iterable, "close", None)
    if close is not None:
        close()


def _not_bytes(chunk: object) -> ApplicationError:
    return ApplicationError(f"a response body is made of bytes; the application produced {_what(chunk)}")


def _what(thing: object) -> str:
    hint = ""
    if isinstance(thing, str):
        hint = ": encode it"
    elif isinstance(thing, int):
        hint = ": an application that returns bytes instead of a list of bytes is iterated byte by byte"
    return f"{type(thing).__name__} {thing!r:.60}{hint}"
