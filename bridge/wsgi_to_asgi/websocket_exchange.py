"""One WebSocket: the application in a worker thread, the server's receive() and send() on the event loop."""

from __future__ import annotations

from collections.abc import Iterable
from errno import EBADF
from typing import TYPE_CHECKING, cast

from bridge.errors import ApplicationError, ClientDisconnected, ConfigurationError
from bridge.loop_thread import LoopClosed
from bridge.rfc6455 import ABNORMAL, INTERNAL_ERROR, NO_CODE, NORMAL
from bridge.wsgi_to_asgi.exchange import Exchange
from bridge.wsgi_to_asgi.websocket import KEY, WebSocket
from bridge.wsgi_to_asgi.websocket_denial import as_denial, can_be_denied
from bridge.wsgi_to_asgi.websocket_gevent import GeventWebSocket
from bridge.wsgi_to_asgi.websocket_lazy import LazySocket
from bridge.wsgi_to_asgi.websocket_link import Link

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextvars import Context

    from anyio import CancelScope

    from bridge.loop_thread import Crossing
    from bridge.protocols import Environ, ExcInfo, Message, Receive, Scope, Send, StartResponse, WsgiApplication
    from bridge.wsgi_to_asgi.websocket_socket import SocketSide


class WebSocketExchange(Exchange):
    """One call of the application for a handshake, and the WebSocket that it may take.

    While it is not taken this is an exchange like any other: the application answers a GET request.
    """

    # Its thread is one for WebSockets, of which each has one as long as it lives.
    _can_park = False

    __slots__ = ("_erred", "_key", "_link", "_scope", "_sending", "_side", "_wsgi")

    def __init__(
        self,
        owner: object,
        application: WsgiApplication,
        environ: Environ,
        context: Context,
        crossing: Crossing,
        receive: Receive,
        response_buffer: int,
        read_ahead: int,
    ) -> None:
        super().__init__(owner, application, environ, context, crossing, receive, response_buffer)
        self._scope: Scope = environ["asgi.scope"]
        subprotocols: list[str] = list(self._scope.get("subprotocols") or [])
        self._link = Link(crossing, self._let_look, subprotocols, read_ahead, response_buffer, self._give_client_up)
        self._application = self._call
        self._erred = False  # worker thread: a framework made a response of the application's exception
        self._wsgi = application
        self._sending: CancelScope | None = None  # event loop; while something may be sent
        self._side: SocketSide | None = None  # the application's thread makes it
        self._key = environ["HTTP_SEC_WEBSOCKET_KEY"]
        environ[KEY] = websocket = WebSocket(self._link)
        environ["wsgi.websocket"] = GeventWebSocket(websocket, environ)
        environ["wsgi.websocket_version"] = environ["HTTP_SEC_WEBSOCKET_VERSION"]
        environ["werkzeug.socket"] = environ["gunicorn.socket"] = LazySocket(self._open_socket)

    # -- event loop thread ------------------------------------------------------------------------------------

    async def respond(self, send: Send) -> None:
        """Send what the application does with the WebSocket; return when it is over.

        Raises:
            BaseException: what the application raised, or ``receive()``; or ``send()``, other than an OSError, which
                says that the client is gone.
            ClientDisconnected: the exchange was aborted, by a shutdown, before the handshake was answered.
        """
        from anyio import CancelScope  # here, since importing the bridge imports no more than it needs

        self.listen()
        error: BaseException | None = None
        try:
            with CancelScope() as self._sending:
                await self._speak(send)
            if self._sending.cancelled_caught:
                await self._speak(send)  # sends nothing any more; returns when the application has
            if self._link.taken:
                error = self._take_error() or (self._side and self._side.error) or self._receive_error
                code = NORMAL if error is None and not self._erred else INTERNAL_ERROR
                self._link.close_soon(code, "", "the application has returned")
                await self._flush(send)
        except BaseException as raised:
            if error is not None:
                self._errors, error = [error], None  # it was to be raised below: now nobody else would report it
            await self._give_up(raised)
            raise
        if not self._link.taken:
            await self._deny(send)
            return
        self._detached = True
        try:
            try:
                await self._stop_listening()
            finally:  # it may be cancelled there
                await self._close_side()
            if error is not None:
                raise error
        finally:
            del error  # the traceback holds this frame: without this it would hold itself

    async def _speak(self, send: Send) -> None:
        """Send messages until the worker thread has left, or an HTTP response leaves."""
        while True:
            # Cleared before the look: what is put in after the look then posts a letter of its own.
            self._post_pending = False
            done = self._done
            if self._released:
                return
            if await self._flush(send):
                continue
            if done:
                side = self._side
                if side is None or side.ended:
                    return
                side.take_rest()
            self._waiter = self.crossing.waiter()
            await self._waiter
            self._waiter = None

    async def _flush(self, send: Send) -> bool:
        """Send what lies there; return whether anything did."""
        sent = False
        while (item := self._link.next()) is not None:
            sent = True
            message, size = item
            if message["type"] == "websocket.close":
                # Granian sends no close while a receive() waits; and what the client says from here on nobody gets.
                await self._stop_listening()
            if not self._link.lost:
                try:
                    await send(message)
                except OSError:
                    # Source: ASGI specification, "Disconnected Client". receive() says how it has left, if at all.
                    self._end_by_client(ABNORMAL, "", "the client has left: the server's send() says so")
            self._link.delivered(size)
        return sent

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await self.crossing.finish(listener)

    async def _deny(self, send: Send) -> None:
        denied = False
        answer = as_denial(self._scope, send)

        async def deny(message: Message) -> None:
            nonlocal denied
            denied = True
            await answer(message)

        try:
            try:
                await super().respond(deny)
            finally:
                await self._close_side()
        except Exception:
            if not denied and not can_be_denied(self._scope) and not self.disconnected:
                # A server without the extension need not answer a handshake whose application fails (Daphne).
                await send({"type": "websocket.close", "code": INTERNAL_ERROR, "reason": ""})
            raise

    async def _give_up(self, error: BaseException) -> None:
        try:
            await super()._give_up(error)
        finally:  # a cancellation may come again while that waits
            if not isinstance(error, GeneratorExit):
                await self._close_side()
            elif self._side is not None:
                self._side.drop()

    async def _close_side(self) -> None:
        side, self._side = self._side, None
        if side is not None:
            await side.close(self.crossing)

    def _begin_side(self, side: SocketSide) -> None:
        if self._detached:
            self._side = None  # the exchange ended while it was made
            side.drop()
        else:
            side.begin(self.crossing)

    async def _listen(self) -> None:
        try:
            while (message := await self._receive())["type"] != "websocket.disconnect":
                text = message.get("text")
                data = bytes(message.get("bytes") or b"") if text is None else text
                # Whose accept it was, has the messages: an application may have looked at the socket and left it.
                side = self._side
                await (side if side is not None and side.accepted else self._link).put(data)
        except Exception as error:
            if not self._leaving:
                self._receive_error = error
                self._end_by_client(ABNORMAL, "", f"the server's receive() failed: {error!r}")
        else:
            if not self._leaving:
                code = int(message.get("code") or NO_CODE)
                reason = message.get("reason") or ""
                said = f"the client has closed the WebSocket with {code}"
                self._end_by_client(
                    code, reason, "the client was lost" if code == ABNORMAL else f"{said} {reason}".rstrip()
                )

    def _end_by_client(self, code: int, reason: str, why: str) -> None:
        self._link.lose(code, reason, why)
        self.disconnected = self.disconnected or not self._link.taken
        # Not this class's: an application that has a socket reads there what came before, and the close.
        super().abort(why)
        self._cancel_streams()
        self._wake()

    def _give_client_up(self, why: str) -> None:
        self._end_by_client(ABNORMAL, "", why)
        if self._sending is not None:
            # The server's send() may never return, and with it this exchange would stay for as long as the client.
            self._sending.cancel()

    def _wake(self) -> None:
        # All of this here, since the coroutine may be waiting for a slow client.
        if self._done:
            self._link.unread = True
            if self._side is not None:
                self._side.take_rest()
        self._link.look()
        if self._side is not None and self._link.end is not None:
            self._side.tell_end(self.crossing, *self._link.end)
        super()._wake()

    # -- any thread -------------------------------------------------------------------------------------------

    def abort(self, reason: str) -> None:
        """Make whatever the application does with the WebSocket raise ClientDisconnected with *reason*."""
        if not self._link.leave(reason):
            self._link.stop(reason)
        super().abort(reason)
        if self._side is not None:
            self._side.break_off()

    # -- any thread but the loop's ----------------------------------------------------------------------------

    def go_away(self, reason: str) -> None:
        """Close the WebSocket with 1001, or as soon as it is accepted, as a server does that shuts down."""
        if self._link.leave(reason):
            self._gone = reason
            self._post()  # whatever is pending: a loop that waits for a slow client still has to tell the application

    def _let_look(self) -> None:
        if not self._post_pending:
            self._post()

    def _post(self) -> None:
        self._post_pending = True
        try:
            self.crossing.post(self._wake)
        except LoopClosed:
            self.abort("the server's event loop was closed during the WebSocket")

    # -- worker thread ----------------------------------------------------------------------------------------

    # What a WSGI server wants back at the end, nobody gets once the WebSocket is taken: it is not looked at.

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        self._erred = status[:1] == "5"
        if self._link.taken:
            return self._put
        if status[:1] == "1":
            raise ApplicationError(
                f"the application answered a WebSocket's handshake with {status!r}: here it takes the WebSocket with "
                "bridge.websocket(environ) or the socket environ['werkzeug.socket']"
            )
        return super()._start_response(status, headers, exc_info)

    def _call(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        iterable = self._wsgi(environ, start_response)
        return iterable if isinstance(iterable, Iterable) or not self._is_taken() else ()

    def _put(self, chunk: bytes) -> bool:
        if chunk and self._answers():
            return super()._put(chunk)
        return bool(chunk)  # a response that has no end would keep the thread

    def _put_whole(self, chunks: list[bytes] | tuple[bytes, ...]) -> None:
        if self._answers():
            super()._put_whole(chunks)

    def _end(self) -> None:
        if self._answers():
            super()._end()

    def _answers(self) -> bool:
        return not self._is_taken() and self._link.answer()

    def _is_taken(self) -> bool:
        if self._side is not None and not self._link.taken:
            # What it has written on the socket may be the answer, and the loop has not read it yet. The loop is woken
            # to learn whether there still is one: waiting for another would have no end.
            self._post()
            self._side.settle()
        return self._link.taken

    def finish(self) -> None:
        # The link and this object hold each other until they are collected, and are to hold nothing else by then: not
        # the environ, with the application's end of a pair, nor the adapter, whose threads end with it.
        self._environ = {}
        self.owner = None
        self._post_pending = False  # whatever is pending: see go_away()
        super().finish()

    def _fail(self, error: BaseException) -> None:
        ended = self._link.end is not None and isinstance(error, ClientDisconnected)
        if not ended and not (self._side is not None and self._is_end_of_socket(error)):
            super()._fail(error)

    def _is_end_of_socket(self, error: BaseException) -> bool:
        """Whether an application that had the connection ends by *error* in order."""
        if type(error) in (ConnectionError, StopIteration) and not error.args:
            return True  # how python-engineio and flask-sock tell Werkzeug and Gunicorn that it is theirs no more
        # EBADF: simple-websocket closes its socket in one thread while another sends.
        broken = isinstance(error, ConnectionError) or (isinstance(error, OSError) and error.errno == EBADF)
        return broken and (self._link.lost or self._gone is not None)

    def _open_socket(self) -> socket.socket:
        """Return the application's end of a socket pair. The thread that uses ``environ["werkzeug.socket"]`` first."""
        if self._link.taken:
            raise ApplicationError("the application has taken the WebSocket, so that it cannot have its socket as well")
        if self._done or self._gone is not None:
            raise ClientDisconnected(self._gone or "the socket was used after the WebSocket had ended")
        try:
            from bridge.wsgi_to_asgi.websocket_socket import SocketSide
        except ImportError as error:
            raise ConfigurationError(
                "An application that wants the socket of a WebSocket needs wsproto: "
                "pip install 'wsgi-asgi-bridge[websocket]'"
            ) from error
        side = SocketSide(self._link, self._key, self._wake)
        theirs = cast("socket.socket", side.theirs)  # here, since the loop may drop it at once
        self._side = side
        try:
            self.crossing.post(lambda: self._begin_side(side))
        except LoopClosed:
            self.abort("the server's event loop was closed during the WebSocket")
            side.drop()
        return theirs
