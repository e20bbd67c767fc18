"""An HTTP/2 client that sends the frames it is told to, in the order it is told to. Keeps to flow control."""

import json
import socket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import h2.connection
import h2.events
import h2.exceptions

TIMEOUT = 10.0  # seconds, for every wait in here


@dataclass
class Response:
    """What has arrived on one stream."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: bool = False
    hints: list[tuple[str, str]] = field(default_factory=list)
    """Headers of the 103 responses that came before it."""

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)


class H2Client:
    """One connection with prior knowledge."""

    def __init__(self, host: str, port: int, timeout: float = TIMEOUT) -> None:
        self._host = f"{host}:{port}"
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._connection = h2.connection.H2Connection()
        self._connection.initiate_connection()
        self._responses: defaultdict[int, Response] = defaultdict(Response)

    def request(
        self,
        method: str,
        target: str,
        *,
        length: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bool | None = None,
    ) -> int:
        """Send a header section. Returns the stream.

        Args:
            method: as it is sent.
            target: path and query.
            length: bytes of the body that is to follow; sent as content-length.
            headers: further ones, names in lower case.
            body: whether a body is to follow; None: if *length* is given.
        """
        stream = self._connection.get_next_available_stream_id()
        fields = [(":method", method), (":path", target), (":scheme", "http"), (":authority", self._host), *headers]
        if length is not None:
            fields.append(("content-length", str(length)))
        follows = length is not None if body is None else body
        self._connection.send_headers(stream, fields, end_stream=not follows)
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, ended: bool) -> None:
        """Send DATA frames as the server has room for them, unless it has said RST_STREAM meanwhile (RFC 9113, 8.1).

        Raises:
            EOFError: the connection ended.
            TimeoutError: no room was made.
        """
        try:
            while data:
                size = min(self._connection.local_flow_control_window(stream), self._connection.max_outbound_frame_size)
                if not size:
                    self._receive()
                    continue
                piece, data = data[:size], data[size:]
                self._connection.send_data(stream, piece, end_stream=ended and not data)
                self._flush()
                ended = ended and bool(data)
            if ended:
                self._connection.send_data(stream, b"", end_stream=True)
                self._flush()
        except h2.exceptions.StreamClosedError:
            return

    def read_response(self, stream: int) -> Response:
        """Return a response once it is complete.

        Raises:
            EOFError: the connection ended, or the stream was reset, before the response did.
            TimeoutError: nothing more came.
        """
        response = self._responses[stream]
        while not response.ended:
            if response.reset:
                raise EOFError(f"stream {stream} was reset after {response}")
            self._receive()
        return response

    def read_hints(self, stream: int) -> list[tuple[str, str]]:
        """Return the headers of a 103 response once it is there, or nothing once the final response is.

        Raises:
            EOFError: the connection ended, or the stream was reset, before that.
            TimeoutError: nothing more came.
        """
        response = self._responses[stream]
        while not response.hints and not response.status:
            if response.reset:
                raise EOFError(f"stream {stream} was reset after {response}")
            self._receive()
        return response.hints

    def read_until(self, stream: int, end: bytes) -> Response:
        """Return what has arrived of a response once its body ends with *end*.

        Raises:
            EOFError: it ended, or the connection did, before that.
            TimeoutError: nothing more came.
        """
        response = self._responses[stream]
        while not response.body.endswith(end):
            if response.reset or response.ended:
                raise EOFError(f"stream {stream} ended after {response}")
            self._receive()
        return response

    def _receive(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise EOFError("the connection ended")
        for event in self._connection.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
            response = self._responses[event.stream_id]
            response.status = int(dict(fields)[":status"])
            response.headers = fields
        elif isinstance(event, h2.events.InformationalResponseReceived):
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
            if (":status", "103") in fields:
                self._responses[event.stream_id].hints += [(name, value) for name, value in fields if name[0] != ":"]
        elif isinstance(event, h2.events.DataReceived):
            self._responses[event.stream_id].body += event.data
            self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._responses[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            self._responses[event.stream_id].reset = True

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())

    def __enter__(self) -> "H2Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
