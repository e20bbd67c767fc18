"""One connection to the upstream, which speaks HTTP/1.1 over it. Knows no scope and no pool."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

import anyio
import h11
import httpcore

from bridge.errors import BadGateway, BadRequest

if TYPE_CHECKING:
    from bridge.mount.upstream.request import RequestHead

# Bytes that the head of a response may have; h11 refuses a longer one.
_HEAD_LIMIT: Final = 100 * 1024
_READ_SIZE: Final = 64 * 1024  # bytes


class Wire:
    """A network stream and h11's state of what was said over it. Event loop."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT)
        self.reused = False
        """It has carried a request before this one."""
        self.heard = False
        """Something of the response is here."""
        self._written = True  # all that was said is out; False while it is being written, and for ever if that was cut
        self._read_up = True  # all that has come was read; the streams of asyncio keep what a full read has left
        self.idle_since = 0.0
        """In the event loop's time, in seconds; for whoever keeps it."""

    # -- the request --------------------------------------------------------------------------------------------------

    async def ask(self, head: RequestHead) -> None:
        """Send the head of a request, and its end if it has no body.

        Raises:
            BadRequest: HTTP/1.1 does not allow it, which the client's server let through.
            BadGateway: the upstream does not take it.
        """
        try:
            data = self._say(h11.Request(method=head.method, target=head.target, headers=head.headers))
        except h11.LocalProtocolError as error:
            raise BadRequest(f"The request is not valid HTTP: {error}") from None
        if not head.has_body:
            data += self._say(h11.EndOfMessage())
        await self.write(data)

    async def upload(self, chunk: bytes, *, last: bool) -> None:
        """Send a chunk of the request's body, and its end after the last.

        Raises:
            BadGateway: the upstream does not take it.
        """
        data = self._say(h11.Data(chunk)) if chunk else b""
        if last:
            data += self._say(h11.EndOfMessage())
        await self.write(data)

    def _say(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""

    # -- the response -------------------------------------------------------------------------------------------------

    def heard_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what has been heard next, ``NEED_DATA`` when :meth:`listen` has to be called first.

        Raises:
            BadGateway: it is no HTTP, or its end is missing.
        """
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise BadGateway("The upstream server sent no valid response.", f"it sent no valid HTTP: {error}") from None

    async def listen(self) -> None:
        """Wait until the upstream says something, its end included.

        Raises:
            BadGateway: the connection is lost, or ends before the response begins.
        """
        data = await self.read()
        if data:
            self.heard = True
        elif self._http.their_state is h11.SEND_RESPONSE:
            raise BadGateway("The upstream server broke off before its answer.", "it closed the connection, unanswered")
        self._http.receive_data(data)

    # -- after it -----------------------------------------------------------------------------------------------------

    def next_request(self) -> bool:
        """Get ready for another request; return False if the connection cannot be used again."""
        http = self._http
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE or http.trailing_data[0]:
            return False
        if not self._written or not self._read_up:
            # h11 calls a request done that is only said. The upstream would take the next one for the rest of this
            # one's body, and what has come unasked for the next one's response.
            return False
        http.start_next_cycle()
        self.reused = True
        self.heard = False
        return True

    @property
    def stale(self) -> bool:
        """Whether an idle connection is at its end: there is something to read, and it can only be that."""
        if self._stream.get_extra_info("is_readable"):
            return True
        if self._secure is None:
            return False
        try:
            self._secure.read(1)  # of what has come with the last response, in a record of its own; or its end
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            pass  # what is broken has nothing more to read either
        return True

    @property
    def _secure(self) -> ssl.SSLObject | None:
        found: Any = self._stream.get_extra_info("ssl_object")
        secure: ssl.SSLObject | None = found
        return secure

    @property
    def rest(self) -> bytes:
        """What has come after the head of a response that switches protocols."""
        return self._http.trailing_data[0]

    # -- bytes --------------------------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """Wait for bytes; ``b""`` is the end.

        Raises:
            BadGateway: the connection is lost.
        """
        try:
            data = await self._stream.read(_READ_SIZE)
        except httpcore.NetworkError as error:
            raise BadGateway("The upstream server was lost.", f"the connection was lost: {error!r}") from error
        self._read_up = len(data) < _READ_SIZE
        if not data and not self._ended_in_order():
            raise BadGateway("The upstream server was lost.", "the connection ended without TLS's close_notify")
        return data

    def _ended_in_order(self) -> bool:
        """Whether the end that was read is the upstream's. Source: RFC 9112, 9.8."""
        if self._secure is None:
            return True
        try:
            return self._secure.read(1) == b""
        except ssl.SSLError:
            return False  # cut, by anybody on the way: a response without a length would look complete

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the upstream is behind. One at a time.

        Raises:
            BadGateway: the connection is lost.
        """
        self._written = False
        try:
            await self._stream.write(data)
        except httpcore.NetworkError as error:
            raise BadGateway("The upstream server was lost.", f"the connection was lost: {error!r}") from error
        self._written = True

    async def close(self) -> None:
        """End the connection, also while the task is being cancelled."""
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()
