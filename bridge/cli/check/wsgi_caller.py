"""Calls a WSGI application as a server does. Knows neither ASGI nor what the answer is good for."""

from __future__ import annotations

import io
import math
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from bridge.cli.check.helper_thread import HelperThread, run_at_once
from bridge.cli.check.limits import LONG_STREAM, MOST_BODY
from bridge.cli.check.model import Answer, Request
from bridge.errors import ClientDisconnected
from bridge.http import parse_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bridge.protocols import Environ, ExcInfo, WsgiApplication


def build_environ(request: Request) -> Environ:
    """Build the environ of a request from the same machine, on port 80. Source: PEP 3333, "environ Variables"."""
    path, _, query = request.target.partition("?")
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": request.mount,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": request.mount + request.target,
        "RAW_URI": request.mount + request.target,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "bridge-check",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": request.multithread,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    for name, value in request.with_id():
        key = "HTTP_" + name.upper().replace("-", "_")
        key = {"HTTP_CONTENT_TYPE": "CONTENT_TYPE", "HTTP_CONTENT_LENGTH": "CONTENT_LENGTH"}.get(key, key)
        joint = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{joint}{value}" if key in environ else value
    return environ


class WsgiCaller:
    """Calls one WSGI application: one request after the other in one thread, or many in threads of their own.

    Args:
        application: what to call.
        timeout: seconds that a request may take.
        here: call in the thread that calls, without a limit: for what belongs to the thread that imported it.
    """

    def __init__(self, application: WsgiApplication, timeout: float, *, here: bool = False) -> None:
        self._application = application
        self._timeout = timeout
        self._thread = HelperThread()
        self._left_behind = False
        self._here = here

    @property
    def stuck(self) -> bool:
        """Whether a thread was left behind with a call that did not end."""
        return self._left_behind or self._thread.stuck

    def call(
        self,
        request: Request,
        *,
        leave: bool = False,
        taken: Callable[[float], object] | None = None,
        layer: Callable[[WsgiApplication], WsgiApplication] | None = None,
    ) -> Answer:
        """Send one request; return the answer, or what there is of it when the time is over. Blocks.

        Args:
            request: what to send.
            leave: take the first chunk and no more.
            taken: told the number of bytes of the body that have arrived; infinity when no more of it is read.
            layer: what to put around the application.
        """
        application = self._application if layer is None else layer(self._application)
        exchange = _Exchange(application, request, leave, taken)
        if self._here:
            exchange.run()
        elif not self._thread.run(exchange.run, self._timeout):
            exchange.answer.late = True
        return exchange.result()

    def call_at_once(self, requests: Sequence[Request]) -> list[Answer]:
        """Send all requests at once. Blocks."""
        exchanges = [_Exchange(self._application, request, False, None) for request in requests]
        if not run_at_once([exchange.run for exchange in exchanges], self._timeout):
            self._left_behind = True
            for exchange in exchanges:
                exchange.answer.late = not exchange.ended
        return [exchange.result() for exchange in exchanges]

    def close(self) -> None:
        """Let the thread end."""
        self._thread.close()


class _Exchange:
    """One call of the application, in whatever thread."""

    def __init__(
        self,
        application: WsgiApplication,
        request: Request,
        leave: bool,
        taken: Callable[[float], object] | None,
    ) -> None:
        self._application = application
        self._request = request
        self._leave = leave
        self._taken = taken
        self._body = bytearray()
        self._began = 0.0
        self.answer = Answer()
        self.ended = False

    def result(self) -> Answer:
        """Return the answer as far as it has come."""
        self.answer.body = bytes(self._body)
        return self.answer

    def run(self) -> None:
        """Call the application, take its body, close it; what it raises goes into the answer."""
        answer = self.answer
        environ = build_environ(self._request)
        self._began = time.perf_counter()
        chunks: Iterable[bytes] | None = None
        try:
            chunks = self._application(environ, self._start_response)
            for chunk in chunks:
                self._write(chunk)
                if answer.cut:
                    break
            else:
                if answer.status is None:
                    raise RuntimeError("the application did not call start_response")
                answer.complete = True
            answer.seconds = time.perf_counter() - self._began
        # Whatever it is: a server goes on when an application fails, even with SystemExit.
        except BaseException as error:
            if not (answer.cut and isinstance(error, ClientDisconnected)):
                answer.error = described(error)
        try:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            answer.error_after = described(error)
        self.ended = True

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        answer = self.answer
        try:
            if answer.status is not None:
                if exc_info is None or exc_info[1] is None:
                    raise RuntimeError("start_response was called a second time, without exc_info")
                if answer.chunks:
                    raise exc_info[1].with_traceback(exc_info[2])
        finally:
            exc_info = None  # it would hold this frame, which holds it
        answer.status = parse_status(status)
        answer.headers = [(name.lower(), value.strip(" \t")) for name, value in headers]
        return self._write

    def _write(self, chunk: Any) -> None:
        answer = self.answer
        if answer.cut:  # by write(), which is told no other way
            raise ClientDisconnected("the client has left")
        if not isinstance(chunk, bytes):
            raise TypeError(f"a chunk of a body is bytes; the application gave {type(chunk).__name__}")
        if not chunk:
            return
        if answer.status is None:
            raise RuntimeError("the application gave a chunk before it called start_response")
        answer.chunks += 1
        self._body += chunk
        answer.cut = answer.cut or self._leave or self._is_long()
        if self._taken is not None:
            self._taken(math.inf if answer.cut else len(self._body))

    def _is_long(self) -> bool:
        long = self.answer.chunks > 1 and time.perf_counter() - self._began > LONG_STREAM
        return long or len(self._body) > MOST_BODY


def described(error: BaseException) -> str:
    """Return one line about an exception."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
