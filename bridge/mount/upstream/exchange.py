"""One HTTP request and its response, between receive() and send() and the upstream. Knows no URL and no option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import h11

from bridge.errors import BadGateway, BadRequest
from bridge.mount.upstream.request import Framing
from bridge.mount.upstream.response import end_to_end
from bridge.mount.upstream.silence import Silence

if TYPE_CHECKING:
    from anyio import CancelScope

    from bridge.mount.upstream.connections import Connections
    from bridge.mount.upstream.request import RequestHead
    from bridge.mount.upstream.wire import Wire
    from bridge.protocols import Receive, Send

# Seconds that a client's body waits for "100 Continue"; a guess, curl's too. RFC 9110, 10.1.1: not for ever, since some
# servers never send it.
_CONTINUE_WAIT: Final = 1.0


class Exchange:
    """Pass one request on and its response back, each as it comes. Event loop.

    Two tasks share it: one hears the upstream and sends to the client, the other one hears the client and uploads. So
    a response may begin, and end, before the request does; and a client that leaves is noticed at any time.

    Args:
        connections: to the upstream.
        request: its head; a framing that is unknown is settled here.
        receive: the server's, as *send*.
        send: the server's.
        silence: seconds that the upstream may give no sign of itself; None: no limit.
    """

    def __init__(
        self, connections: Connections, request: RequestHead, receive: Receive, send: Send, silence: float | None
    ) -> None:
        self._connections = connections
        self._request = request
        self._receive = receive
        self._send = send
        self._silence = Silence(silence)
        self._begun = b""  # what had to be received of a body to see whether there is one
        self._all_received = False  # the last message of the body, which a request without one has as well
        self._uploaded = 0  # bytes
        self._wire: Wire | None = None
        self._asked = anyio.Event()  # the head of the request is out
        self._may_upload = anyio.Event()  # the upstream has said so, or answered
        self.answered = False
        """``http.response.start`` is out."""
        self._ending = False  # the last message is being sent: what receive() says from now on changes nothing
        self._gone = False  # the client
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Return when the response is complete, or its client has left.

        Raises:
            RequestRefused: there is no response to send; or, if :attr:`answered`, not the rest of it.
            Exception: the server's, of ``receive()`` and ``send()``.
        """
        if self._request.framing is Framing.UNKNOWN and not await self._settle_framing():
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._attend_client, tasks.cancel_scope)
            try:
                await self._attend_upstream()
            except Exception as error:  # kept from the task group, which would make a group of it
                self._failure = self._failure or error
            tasks.cancel_scope.cancel()
        if self._failure is not None and not self._gone:
            raise self._failure

    # -- the client's side --------------------------------------------------------------------------------------------

    async def _settle_framing(self) -> bool:
        """Receive until a first byte of the body is there, or its end; return False if the client went away."""
        while not self._begun and not self._all_received:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return False
            self._begun = message.get("body") or b""
            self._all_received = not message.get("more_body", False)
        self._request.frame(len(self._begun) if self._all_received else None)
        return True

    async def _attend_client(self, both: CancelScope) -> None:
        try:
            if self._request.has_body:
                await self._upload()
            # Watched from here on, also for what is left of a body that the upstream does not want.
            while not self._gone:
                over = self._all_received
                await self._next_chunk()
                if over and not self._gone:
                    return  # a middleware that gives the body again and again, and may never let others run
        except Exception as error:
            self._failure = self._failure or error
        # Servers say http.disconnect as soon as they know the end of the response, which may not be out by then.
        if not self._ending:
            both.cancel()

    async def _next_chunk(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone = True
            return b""
        self._all_received = not message.get("more_body", False)
        chunk: bytes = message.get("body") or b""
        return chunk

    async def _upload(self) -> None:
        await self._asked.wait()
        wire = self._wire
        if wire is None:  # cannot be: it is there before the event is set
            raise RuntimeError("the request was sent over no connection")
        if self._request.expects_continue:
            with anyio.move_on_after(_CONTINUE_WAIT):
                await self._may_upload.wait()
            if self.answered:
                return
        if self._begun:
            await self._pass_up(wire, self._begun)
        while not self._all_received:
            self._silence.pause()
            chunk = await self._next_chunk()
            if self._gone:
                return
            if not await self._pass_up(wire, chunk):
                return

    async def _pass_up(self, wire: Wire, chunk: bytes) -> bool:
        """Upload a chunk, and the end after the last; return False if the upstream takes no more."""
        self._uploaded += len(chunk)
        length = self._request.length
        if length is not None and (
            self._uploaded > length or (self._all_received and self._uploaded < length)
        ):  # nothing of it may pass for the whole, nor for the beginning of another request
            raise BadRequest(f"The request declares a body of {length} bytes and has another one.")
        self._silence.resume()
        try:
            await wire.upload(chunk, last=self._all_received)
        except BadGateway:
            # RFC 9112, 9.5: it may have answered before it stopped listening.
            return False
        return True

    # -- the upstream's side ------------------------------------------------------------------------------------------

    async def _attend_upstream(self) -> None:
        async with self._connections.place("http"):
            try:
                await self._converse(fresh=False)
            except _StaleConnection:
                await self._converse(fresh=True)

    async def _converse(self, *, fresh: bool) -> None:
        wire = self._wire = await self._connections.take(fresh=fresh)
        try:
            with self._silence.ends():
                await wire.ask(self._request)
            self._asked.set()
            await self._relay(wire)
        except BadGateway as error:
            if wire.reused and not wire.heard and self._request.repeatable:
                raise _StaleConnection from error
            raise
        finally:
            await self._connections.give_back(wire)

    async def _relay(self, wire: Wire) -> None:
        while True:
            event = wire.heard_event()
            if event is h11.NEED_DATA:
                with self._silence.ends():
                    await wire.listen()
            elif isinstance(event, h11.Data):
                await self._send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
            elif isinstance(event, h11.Response):
                headers = end_to_end(event.status_code, event.headers)
                self.answered = True
                await self._send({"type": "http.response.start", "status": event.status_code, "headers": headers})
                self._may_upload.set()
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code == 100:
                    self._may_upload.set()
            else:  # the end of the message
                self._ending = True
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                return


class _StaleConnection(Exception):
    """The upstream had closed an idle connection, and cannot have seen the request."""
