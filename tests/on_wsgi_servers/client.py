"""An HTTP client for one server below one mount: a connection for each request. Knows no test."""

from compat_matrix.client import RawClient, Response
from compat_matrix.servers import RunningServer
from compat_matrix.wire import TIMEOUT


class Client:
    """Speaks to the application that is mounted at *mount*, ``""`` for none."""

    def __init__(self, server: RunningServer, mount: str = "", timeout: float = TIMEOUT) -> None:
        self.server = server
        self.mount = mount
        self._timeout = timeout

    def connect(self) -> RawClient:
        """Open a connection, for whoever sends and reads by himself."""
        return RawClient(self.server.host, self.server.port, self._timeout)

    def get(self, target: str, *header_lines: str) -> Response:
        """Send a GET request and read its response."""
        with self.connect() as connection:
            connection.get(self.mount + target, *header_lines)
            return connection.read_response()

    def post(self, target: str, body: bytes) -> Response:
        """Send a body of declared length and read the response."""
        with self.connect() as connection:
            connection.send(self.head("POST", target, f"Content-Length: {len(body)}"))
            connection.send(body)
            return connection.read_response()

    def head(self, method: str, target: str, *header_lines: str) -> bytes:
        """Return the header section of a request, header lines in latin-1."""
        lines = [f"{method} {self.mount}{target} HTTP/1.1", "Host: test", *header_lines, "", ""]
        return "\r\n".join(lines).encode("latin-1")
