"""The smallest WSGI server there is: threads that call an application and take its body. Knows no contestant."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from wsgiref.util import FileWrapper

from benchmarks.in_process.driver import HEADERS
from benchmarks.protocols import Environ, WsgiApplication

# Makes one request and returns how many bytes of body came.
Request = Callable[[], int]


@dataclass(frozen=True)
class Load:
    """What is asked of the application.

    Attributes:
        threads: each makes one request after another.
        size: bytes that a correct response body has.
    """

    threads: int
    size: int


class _EmptyInput:
    """The input of a request without a body. Like Gunicorn's it can read, and has no ``read1``."""

    def read(self, size: int | None = None) -> bytes:
        return b""

    readline = read

    def readlines(self, size: int | None = None) -> list[bytes]:
        return []


class _Response:
    """What a server keeps of one response."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        self.status, self.headers = status, headers
        return self._write

    def _write(self, data: bytes) -> None:
        raise RuntimeError("write() is called by no contestant")


def _early_hints(headers: object) -> None:
    pass


def _common_environ() -> Environ:
    # The keys that Gunicorn puts there, but for its socket. Those of the headers are not interned there either.
    return {
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "SERVER_SOFTWARE": "benchmarks",
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "",
        "RAW_URI": "/",
        "SERVER_PROTOCOL": "HTTP/1.1",
        **{"HTTP_" + name.decode().upper().replace("-", "_"): value.decode() for name, value in HEADERS},
        "wsgi.url_scheme": "http",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40123",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "PATH_INFO": "/",
        "SCRIPT_NAME": "",
        "wsgi.early_hints": _early_hints,
    }


def requests_to(application: WsgiApplication) -> Request:
    """Return what calls *application* as a server does: an environ of its own, iterate, close."""
    common = _common_environ()

    def request() -> int:
        response = _Response()
        received = 0
        # Copied, not put together from the request's bytes: that is the server's work and would hide the bridge's.
        chunks = application({**common, "wsgi.input": _EmptyInput()}, response.start_response)
        try:
            for chunk in chunks:
                received += len(chunk)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        if response.status != "200 OK":
            raise RuntimeError(f"expected status 200, got {response.status!r}")
        return received

    return request


def drive(requests: Sequence[Request], load: Load, seconds: float, threads: Executor) -> float:
    """Let each thread make its requests, one after another, for *seconds*.

    Args:
        requests: one for each thread.
        threads: has as many as there are requests.

    Returns:
        Responses per second. The tail, in which the last requests finish, is part of the time.

    Raises:
        RuntimeError: the last response of a thread was not whole, or any of them had another status than 200.
    """
    started = time.perf_counter()
    counts = list(threads.map(partial(_one_after_another, load.size, started + seconds), requests))
    return sum(counts) / (time.perf_counter() - started)


def _one_after_another(size: int, deadline: float, request: Request) -> int:
    count = 0
    while True:
        received = request()
        count += 1
        if time.perf_counter() >= deadline:
            if received != size:
                raise RuntimeError(f"wrong response: {received} of {size} bytes")
            return count
