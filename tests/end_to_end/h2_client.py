"""An HTTP/2 client that sends the frames it is told to, in the order it is told to."""

import socket
from collections import defaultdict
from dataclasses import dataclass
from types import TracebackType

import h2.connection
import h2.events
import h2.exceptions

TIMEOUT = 10.0  # seconds, for every wait in here


@dataclass
class Response:
    """What has arrived on one stream."""

    status: int = 0
    body: bytes = b""
    ended: bool = False
    reset: bool = False


class H2Client:
    """One connection with prior knowledge."""

    def __init__(self, host: str, port: int, timeout: float = TIMEOUT) -> None:
        self._host = f"{host}:{port}"
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._connection = h2.connection.H2Connection()
        self._connection.initiate_connection()
        self._responses: defaultdict[int, Response] = defaultdict(Response)

    def request(self, method: str, target: str, *, length: int | None = None) -> int:
        """Send a header section; *length*: bytes of the body that is to follow. Returns the stream."""
        stream = self._connection.get_next_available_stream_id()
        headers = [(":method", method), (":path", target), (":scheme", "http"), (":authority", self._host)]
        if length is not None:
            headers.append(("content-length", str(length)))
        self._connection.send_headers(stream, headers, end_stream=length is None)
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, ended: bool) -> None:
        """Send a DATA frame, unless the server has said RST_STREAM meanwhile (RFC 9113, 8.1)."""
        try:
            self._connection.send_data(stream, data, end_stream=ended)
        except h2.exceptions.StreamClosedError:
            return
        self._flush()

    def read_response(self, stream: int) -> tuple[int, bytes]:
        """Return status and body.

        Raises:
            EOFError: the connection ended, or the stream was reset, before the response did.
            TimeoutError: nothing more came.
        """
        response = self._responses[stream]
        while not response.ended:
            data = self._socket.recv(65_536)
            if not data or response.reset:
                raise EOFError(f"stream {stream} ended after {response}")
            for event in self._connection.receive_data(data):
                self._take(event)
            self._flush()
        return response.status, response.body

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._responses[event.stream_id].status = int(dict(event.headers)[b":status"])
        elif isinstance(event, h2.events.DataReceived):
            self._responses[event.stream_id].body += event.data
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
