"""The check's end of the line to an application that runs inside a server."""

import socket
from select import select
from types import TracebackType

TIMEOUT = 10.0  # seconds, for every wait in here


class Wire:
    """Hear what the application says and tell it when to go on, past server and bridge.

    Put ``?wire=<port>`` into the URL; the application connects when it is called.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(timeout)
        self._connection: socket.socket | None = None
        self._heard = b""
        self.port: int = self._listener.getsockname()[1]

    def fileno(self) -> int:
        """Return what is readable for ``select`` when the application has called, until it is first heard."""
        return self._listener.fileno()

    def called(self) -> bool:
        """Say, without waiting, whether the application has called."""
        return self._connection is not None or bool(select([self._listener], [], [], 0)[0])

    def hear(self) -> str:
        """Return the next line; waits for it.

        Raises:
            TimeoutError: the application said nothing.
            EOFError: it hung up.
        """
        while b"\n" not in self._heard:
            data = self._peer().recv(4096)
            if not data:
                raise EOFError(f"the application hung up after {self._heard!r}")
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def heard_so_far(self) -> list[str]:
        """Return the lines that are there already, without waiting."""
        peer = self._peer()
        peer.setblocking(False)
        try:
            while data := peer.recv(4096):
                self._heard += data
        except BlockingIOError:
            pass
        finally:
            peer.settimeout(self._timeout)
        *lines, self._heard = self._heard.split(b"\n")
        return [line.decode() for line in lines]

    def tell(self, words: str) -> None:
        """Let the application go on that waits for *words*."""
        self._peer().sendall(words.encode() + b"\n")

    def _peer(self) -> socket.socket:
        if self._connection is None:
            self._connection, _ = self._listener.accept()
            self._connection.settimeout(self._timeout)
        return self._connection

    def __enter__(self) -> "Wire":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Hanging up also frees an application that still waits: it reads the end of the line.
        if self._connection is not None:
            self._connection.close()
        self._listener.close()
