"""One WebSocket, between receive() and send() and the upstream. Knows no URL and no option."""

from __future__ import annotations

import base64
import logging
import os
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel
import h11
from wsproto.connection import CLIENT, Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from bridge.errors import BadGateway, GatewayTimeout, UpstreamFailure
from bridge.mount.upstream.response import end_to_end
from bridge.mount.upstream.silence import Silence
from bridge.rfc6455 import INTERNAL_ERROR, NO_CODE, NORMAL, SENDABLE, TOO_BIG, accept_token, sendable

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from wsproto.events import Event

    from bridge.mount.upstream.connections import Connections
    from bridge.mount.upstream.request import RequestHead
    from bridge.mount.upstream.wire import Wire
    from bridge.protocols import Message, Receive, Send

_logger = logging.getLogger("bridge")

# Seconds that the upstream has to answer a close; a guess. RFC 6455, 7.1.1, leaves the end of the connection to it.
_CLOSE_WAIT: Final = 5.0

# Bytes that are written at once, and so have to be taken before the upstream counts as silent.
_WRITE_SIZE: Final = 64 * 1024


class WebSocket:
    """Pass one WebSocket through: its handshake, its messages, its end. Event loop.

    Frames are not passed through, messages are: each side has pings, fragments and extensions of its own.

    Args:
        connections: to the upstream.
        request: its head, without the headers of the handshake.
        subprotocols: that the client offers, in its order.
        receive: the server's, as *send*; ``websocket.connect`` has been received.
        send: the server's.
        denial: whether the server can answer the handshake with an HTTP response.
        silence: seconds for the upstream's answer to the handshake, and that it may give nothing while it does not take
            what it is sent; None: no limit.
        max_size: bytes of a message from the upstream.
    """

    def __init__(
        self,
        connections: Connections,
        request: RequestHead,
        subprotocols: list[str],
        receive: Receive,
        send: Send,
        *,
        denial: bool,
        silence: float | None,
        max_size: int,
    ) -> None:
        self._connections = connections
        self._request = request
        self._subprotocols = subprotocols
        self._receive = receive
        self._send = send
        self._denial = denial
        self._silence = Silence(silence)
        self._max_size = max_size
        self._frames = Connection(CLIENT)
        self._writing = anyio.Lock()  # both tasks write
        self._message = bytearray()  # what is here of one that is not complete
        self._pong: Pong | None = None  # to be sent when nothing else is being written
        self._lost: GatewayTimeout | None = None  # why the connection was given up
        self.answered = False
        """The head of a response that denies the handshake is out."""
        self._accepted = False
        self._closing = False  # for the client it has ended: nothing is sent there any more
        self._ending = False  # the last message of a denial is being sent
        self._both = anyio.CancelScope()  # of the task group, once there is one
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Return when both sides have ended.

        Raises:
            RequestRefused: the handshake has failed, and the client was not answered; or, if :attr:`answered`, not with
                the whole of what the upstream says instead.
            Exception: the server's, of ``receive()`` and ``send()``.
        """
        async with self._connections.place("websocket"):
            wire = await self._connections.make()
            try:
                async with anyio.create_task_group() as tasks:
                    self._both = tasks.cancel_scope
                    tasks.start_soon(self._attend_client, wire)
                    try:
                        if await self._handshake(wire):
                            await self._attend_upstream(wire, tasks)
                    except Exception as error:  # kept from the task group, which would make a group of it
                        self._failure = self._failure or error
                    tasks.cancel_scope.cancel()
            finally:
                await wire.close()
        if self._failure is not None and not (self._closing and isinstance(self._failure, UpstreamFailure)):
            raise self._failure

    # -- the handshake ------------------------------------------------------------------------------------------------

    async def _handshake(self, wire: Wire) -> bool:
        """Ask the upstream and tell the client what it says; return whether there is a WebSocket."""
        key = base64.b64encode(os.urandom(16)).decode("ascii")
        headers = [pair for pair in self._request.headers if not pair[0].startswith(b"sec-websocket-")]
        headers += [
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", key.encode("ascii")),
        ]
        if self._subprotocols:
            headers.append((b"sec-websocket-protocol", ", ".join(self._subprotocols).encode("latin-1")))
        self._request.headers = headers
        with self._silence.ends():
            await wire.ask(self._request)
        answer = await self._final_head(wire)
        if answer.status_code != 101:
            await self._deny(wire, answer)
            return False
        subprotocol = self._agreed(answer, key)
        kept = [pair for pair in end_to_end(101, answer.headers) if not pair[0].startswith(b"sec-websocket-")]
        self._accepted = True
        await self._to_client({"type": "websocket.accept", "subprotocol": subprotocol, "headers": kept})
        self._frames.receive_data(wire.rest)
        return True

    async def _final_head(self, wire: Wire) -> h11.Response | h11.InformationalResponse:
        while True:
            event = wire.heard_event()
            if event is h11.NEED_DATA:
                with self._silence.ends():
                    await wire.listen()
            elif isinstance(event, h11.Response) or (
                isinstance(event, h11.InformationalResponse) and event.status_code == 101
            ):
                return event

    def _agreed(self, answer: h11.Response | h11.InformationalResponse, key: str) -> str | None:
        """Return the subprotocol of a handshake that is right. Source: RFC 6455, 4.1."""
        said = dict(answer.headers)
        subprotocol = said.get(b"sec-websocket-protocol", b"").decode("latin-1") or None
        if said.get(b"sec-websocket-accept") != accept_token(key).encode("ascii"):
            wrong = "its Sec-WebSocket-Accept is not for this request"
        elif b"sec-websocket-extensions" in said:
            wrong = "it has extensions that nobody has asked for"
        elif subprotocol is not None and subprotocol not in self._subprotocols:
            wrong = f"its subprotocol {subprotocol!r} was not offered"
        else:
            return subprotocol
        raise BadGateway("The upstream server sent no valid handshake.", f"its WebSocket handshake is wrong: {wrong}")

    async def _deny(self, wire: Wire, answer: h11.Response | h11.InformationalResponse) -> None:
        """Pass on what the upstream says instead. Source: ASGI WebSocket Denial Response extension."""
        if not self._denial:
            await self._to_client({"type": "websocket.close", "code": NORMAL})  # before it is accepted: 403
            return
        headers = end_to_end(answer.status_code, answer.headers)
        kind = "websocket.http.response"
        self.answered = True
        await self._to_client({"type": f"{kind}.start", "status": answer.status_code, "headers": headers})
        while True:
            event = wire.heard_event()
            if event is h11.NEED_DATA:
                with self._silence.ends():
                    await wire.listen()
            elif isinstance(event, h11.Data):
                await self._to_client({"type": f"{kind}.body", "body": bytes(event.data), "more_body": True})
            else:  # the end of the message
                self._ending = True
                await self._to_client({"type": f"{kind}.body", "body": b"", "more_body": False})
                return

    # -- the client's side --------------------------------------------------------------------------------------------

    async def _attend_client(self, wire: Wire) -> None:
        try:
            while True:
                message = await self._receive()
                if message["type"] == "websocket.disconnect":
                    await self._pass_close_up(wire, message)
                    return
                text = message.get("text")
                event = BytesMessage(bytes(message.get("bytes") or b"")) if text is None else TextMessage(text)
                await self._say(wire, event)
        except UpstreamFailure as error:
            await self._give_up(wire, error)
        except Exception as error:
            self._failure = self._failure or error
            self._both.cancel()

    async def _pass_close_up(self, wire: Wire, message: Message) -> None:
        code = message.get("code") or NO_CODE
        if self._ending:
            return  # the client has its answer
        self._closing = True
        if not self._accepted or code not in (*SENDABLE, NO_CODE):
            # A client that was lost was not closed: the upstream is to see that as well.
            self._both.cancel()
            return
        self._end_soon()
        if code == NO_CODE:
            await self._say(wire, CloseConnection(CloseReason.NO_STATUS_RCVD))
        else:
            await self._say(wire, CloseConnection(int(code), message.get("reason") or ""))

    # -- the upstream's side ------------------------------------------------------------------------------------------

    async def _attend_upstream(self, wire: Wire, tasks: TaskGroup) -> None:
        try:
            while True:
                for event in self._frames.events():
                    if isinstance(event, CloseConnection):
                        await self._pass_close_down(wire, event)
                        return
                    if isinstance(event, (TextMessage, BytesMessage)):
                        if not await self._pass_down(wire, event):
                            return
                    elif isinstance(event, Ping):
                        self._answer(wire, event, tasks)
                    # A read may bring thousands of frames that nobody waits for.
                    await anyio.lowlevel.checkpoint()
                data = await wire.read()
                if not data:
                    raise BadGateway("The upstream server was lost.", "it closed the connection without a close")
                self._silence.resume()
                self._frames.receive_data(data)
        except BadGateway as error:
            if not self._closing:
                lost = self._lost or error
                _logger.warning("A WebSocket is closed with 1011, the upstream was lost: %s", lost.detail)
                await self._close_client(INTERNAL_ERROR, str(lost))

    async def _pass_down(self, wire: Wire, event: TextMessage | BytesMessage) -> bool:
        """Send the client a message once it is complete; return False if it is too long."""
        # Not kept as the pieces that they come in: those may be of one byte each, or of none, and without number.
        self._message += event.data.encode() if isinstance(event, TextMessage) else event.data
        if len(self._message) > self._max_size:
            reason = f"a message has more than {self._max_size} bytes"
            _logger.warning("A WebSocket is closed with 1009: %s (option max_message_size)", reason)
            await self._close_client(TOO_BIG, reason)
            await self._say(wire, CloseConnection(TOO_BIG, reason))
            return False
        if not event.message_finished:
            return True
        message, self._message = self._message, bytearray()
        if isinstance(event, TextMessage):
            await self._to_client({"type": "websocket.send", "text": message.decode()})
        else:
            await self._to_client({"type": "websocket.send", "bytes": bytes(message)})
        return True

    def _answer(self, wire: Wire, ping: Ping, tasks: TaskGroup) -> None:
        """Send a pong soon, for the last of the pings that have come by then. Source: RFC 6455, 5.5.3."""
        # Not awaited: an upstream that writes before it reads on would wait for this to read, and this for that.
        if self._pong is None:
            tasks.start_soon(self._send_pong, wire)
        self._pong = ping.response()

    async def _send_pong(self, wire: Wire) -> None:
        try:
            async with self._writing:
                pong, self._pong = self._pong, None
                if pong is not None and self._frames.state is ConnectionState.OPEN:
                    await self._write(wire, pong)
        except UpstreamFailure as error:
            await self._give_up(wire, error)

    async def _pass_close_down(self, wire: Wire, event: CloseConnection) -> None:
        if self._frames.state is ConnectionState.CLOSED:
            return  # the answer to the client's
        broke_protocol = self._frames.state is ConnectionState.OPEN
        if broke_protocol:
            _logger.warning("A WebSocket is closed with 1011, the upstream broke RFC 6455: %s", event.reason)
            await self._close_client(INTERNAL_ERROR, "The upstream server broke the WebSocket protocol.")
            answer = CloseConnection(event.code)
        else:
            await self._close_client(sendable(event.code), event.reason or "")
            answer = event.response()
        await self._say(wire, answer)

    # -- both ---------------------------------------------------------------------------------------------------------

    async def _to_client(self, message: Message) -> None:
        if self._closing:
            return
        try:
            await self._send(message)
        except OSError:
            # Source: ASGI WebSocket specification, send() after a disconnect. receive() says how the client has left,
            # and the other task hands that on.
            self._end_soon()

    async def _close_client(self, code: int, reason: str) -> None:
        await self._to_client({"type": "websocket.close", "code": int(code), "reason": reason})
        self._end_soon()

    def _end_soon(self) -> None:
        # Also for an upstream that has said its own close, and reads neither the answer nor what was sent before it.
        self._closing = True
        self._both.deadline = min(self._both.deadline, anyio.current_time() + _CLOSE_WAIT)

    async def _say(self, wire: Wire, event: Event) -> None:
        async with self._writing:
            # A close may have been said meanwhile, and it is the last that is said.
            if self._frames.state is ConnectionState.OPEN or (
                self._frames.state is ConnectionState.REMOTE_CLOSING and isinstance(event, CloseConnection)
            ):
                await self._write(wire, event)

    async def _give_up(self, wire: Wire, error: UpstreamFailure) -> None:
        """Leave it to the task that hears the upstream to end this, once it has passed down what was said before."""
        if isinstance(error, GatewayTimeout):  # of a connection that is lost it hears by itself
            self._lost = error
            await wire.close()

    async def _write(self, wire: Wire, event: Event) -> None:
        data = self._frames.send(event)
        for start in range(0, len(data), _WRITE_SIZE):
            with self._silence.ends():
                await wire.write(data[start : start + _WRITE_SIZE])
