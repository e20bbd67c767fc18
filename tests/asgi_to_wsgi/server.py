"""The server's side of WSGI, played by a test. Speaks PEP 3333 through wsgiref's validator; knows no bridge."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar, cast
from wsgiref.validate import validator

from tests.asgi import TIMEOUT, Application, Environ

T = TypeVar("T")

Run: TypeAlias = Callable[[Callable[[], T]], T]


# Inputs whose read ran into TIMEOUT: an assertion in a thread that reads ahead is taken for an error of the input.
starved: list[Input] = []


class Input:
    """A ``wsgi.input`` that gives what it was fed, waits while there is nothing, and notes how it is read."""

    def __init__(self, *pieces: bytes, ended: bool = True) -> None:
        self.sizes: list[int] = []  # of each read
        self.given = 0  # bytes
        self.reading = threading.Event()  # some read has begun
        self.blocked = threading.Event()  # some read has found nothing and waits
        self.threads: set[int] = set()  # that have read
        self.on_read: Callable[[], object] | None = None  # called at the end of each read
        self._pieces = list(pieces)
        self._ended = ended
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    # -- what the application is given ------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        assert size > 0, f"read({size}) would wait for ever on some servers"
        with self._changed:
            self.sizes.append(size)
            self.threads.add(threading.get_ident())
            self.reading.set()
            if not (self._pieces or self._ended or self._error):
                self.blocked.set()
                ready = self._changed.wait_for(lambda: self._pieces or self._ended or self._error, TIMEOUT)
                if not ready:
                    starved.append(self)
                assert ready, "the test did not feed the input that is read"
            if self._pieces:
                piece = self._pieces.pop(0)
                if len(piece) > size:
                    self._pieces.insert(0, piece[size:])
                    piece = piece[:size]
                self.given += len(piece)
                if self.on_read is not None:
                    self.on_read()
                return piece
            if self._error is not None:
                raise self._error
            return b""

    # PEP 3333 has them, and on some servers they wait for ever.

    def readline(self, size: int = -1) -> bytes:
        raise AssertionError("a body is read in pieces")

    def readlines(self, hint: int = -1) -> list[bytes]:
        raise AssertionError("a body is read in pieces")

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("a body is read in pieces")

    # -- what the test does -----------------------------------------------------------------------------------

    def feed(self, *pieces: bytes) -> None:
        """Let reads give *pieces*."""
        with self._changed:
            self._pieces.extend(pieces)
            self._changed.notify_all()

    def end(self) -> None:
        """Let the input end after what it was fed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Let reads raise *error* after what the input was fed."""
        with self._changed:
            self._error = error
            self._changed.notify_all()


def request(
    method: str = "GET", path: str = "/", *, variables: Mapping[str, Any] | None = None, **rest: Any
) -> Environ:
    """Build the environ of a request without a body, as PEP 3333 has it."""
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "testserver",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": Input(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **(variables or {}),
        **rest,
    }


def upload(body: Input | bytes, length: int | None = None, **rest: Any) -> Environ:
    """Build the environ of a POST with *body*, of which *length* bytes are declared; None: chunked."""
    if isinstance(body, bytes):
        length = len(body)
        body = Input(body)
    framing = (
        {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        if length is None
        else {"CONTENT_LENGTH": str(length)}
    )
    return request("POST", **{**framing, "wsgi.input": body, **rest})


class Response:
    """One response as a server gets it, step by step."""

    def __init__(self, run: Run[Any]) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.pieces: list[bytes] = []
        self.taken = 0  # bytes
        self.starts = 0  # calls of start_response
        self.start_error: BaseException | None = None  # start_response raises it
        self.iterable: Any = None
        self._iterator: Iterator[bytes] | None = None
        self._run = run

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.starts += 1
        if self.start_error is not None:
            raise self.start_error
        self.status = status
        self.headers = list(headers)
        return self._write

    def _write(self, chunk: bytes) -> None:
        raise AssertionError("several servers cannot write()")

    def next(self) -> bytes | None:
        """Take the next piece; None at the end."""
        if self._iterator is None:
            self._iterator = iter(self.iterable)
        iterator = self._iterator
        piece: bytes | None = self._run(lambda: next(iterator, None))
        if piece is not None:
            self.pieces.append(piece)
            self.taken += len(piece)
        return piece

    def read(self) -> Response:
        """Take all that is left."""
        while self.next() is not None:
            pass
        return self

    def close(self) -> None:
        """Do what a server does at the end, whatever happened."""
        if hasattr(self.iterable, "close"):
            self._run(self.iterable.close)

    def drop(self) -> None:
        """Do what some servers do instead: forget the iterable."""

        def forget() -> None:
            self.iterable = self._iterator = None

        self._run(forget)

    def header(self, name: str) -> list[str]:
        """The values of each header *name*."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


class Server:
    """A WSGI server with one thread: the test's."""

    def __init__(self, application: Application, *, in_loop: bool = False) -> None:
        """Serve *application*; *in_loop*: from a thread in which an event loop runs."""
        self.application = application
        self.response = Response(_run)
        """The last one, also if the application failed."""
        self._run: Run[Any] = _run_in_loop if in_loop else _run

    def start(
        self, environ: Environ | None = None, *, validated: bool = True, start_error: BaseException | None = None
    ) -> Response:
        """Call the application; the caller takes the body and closes."""
        self.response = response = Response(self._run)
        response.start_error = start_error
        # The validator says so itself when nobody closes its iterable.
        application = cast("Application", validator(cast("Any", self.application))) if validated else self.application
        environ = environ if environ is not None else request()

        def call() -> Iterable[bytes]:
            return application(environ, response.start_response)

        response.iterable = self._run(call)
        return response

    def serve(self, environ: Environ | None = None) -> Response:
        """Serve one request to its end; what the application raises is raised."""
        response = self.start(environ)
        try:
            return response.read()
        finally:
            response.close()


def _run(step: Callable[[], T]) -> T:
    return step()


def _run_in_loop(step: Callable[[], T]) -> T:
    async def main() -> T:
        return step()

    loop = asyncio.new_event_loop()
    try:
        loop.set_debug(False)  # it would say that the step blocks it, which is the point
        return loop.run_until_complete(main())
    finally:
        loop.close()
