"""Validators that others wrote, on both sides of an adapter, and what they complain about. Knows no adapter.

Around an application stand the validators of its interface, and around what the adapter makes of it those of the
other one. Only what the adapter has made is judged: what comes in to the application, and what the adapter gives out.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Final, Literal, TypeAlias

import anyio.to_thread

_LIMIT: Final = 100  # complaints that are kept
_PATIENCE: Final = 1.0  # seconds for exchanges to end that have been answered; a guess, they take milliseconds
_PIECE: Final = 65_536  # bytes

Around: TypeAlias = Literal["application at home", "application", "adapter"]
"""What the validators stand around; behind an adapter it is plain "application"."""


class Complaints:
    """What was said since the last look, and how many exchanges may still say something. Any thread."""

    def __init__(self) -> None:
        # Of threading as it was found: where a server has monkey-patched it, one of greenlets.
        self._changed = threading.Condition()
        self._said: list[str] = []
        self._under_way = 0

    def say(self, text: str) -> None:
        """Keep a complaint."""
        with self._changed:
            if len(self._said) < _LIMIT:
                self._said.append(text)

    def begun(self) -> None:
        """Count an exchange that may still say something."""
        with self._changed:
            self._under_way += 1

    def ended(self) -> None:
        """Count it no longer."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    @property
    def quiet(self) -> bool:
        """Whether no exchange is under way."""
        return self._under_way == 0

    def wait(self) -> None:
        """Wait until no exchange is under way, for a while. Blocks."""
        with self._changed:
            self._changed.wait_for(lambda: self.quiet, _PATIENCE)

    def take(self) -> list[str]:
        """Return what was said, and forget it."""
        with self._changed:
            said, self._said = self._said, []
            if self._under_way:
                said.append(f"{self._under_way} exchanges have not ended {_PATIENCE} s after their answers")
            return said


complaints = Complaints()
"""Of this process."""


def complaints_wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with what was complained about since the last time, a JSON list."""
    # A response is there before close() has been called and the ASGI application has returned. The client must not
    # have to know how long that takes; with servers of one thread it cannot even ask before.
    complaints.wait()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(complaints.take()).encode()]


async def complaints_asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Be :func:`complaints_wsgi` on an event loop, asyncio's or trio's."""
    await anyio.to_thread.run_sync(complaints.wait)  # exchanges end here and in other threads
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(complaints.take()).encode()})


def validated(application: Any, adapt: Callable[[Any], Any], interface: str, *, bridged: bool) -> Any:
    """Return *application* behind the adapter, with validators on each side of it.

    Args:
        application: WSGI or ASGI.
        adapt: the adapter; what it gives back is served.
        interface: of *application*: ``"wsgi"`` or ``"asgi"``.
        bridged: whether *adapt* changes the interface.
    """
    inner, outer = (validated_wsgi, validated_asgi) if interface == "wsgi" else (validated_asgi, validated_wsgi)
    inside = inner(application, "application" if bridged else "application at home")
    return outer(adapt(inside), "adapter") if bridged else inside


# -- WSGI -------------------------------------------------------------------------------------------------------------

# PEP 3333 lets wsgi.input have readline(size); PEP 333, which Werkzeug's linter goes by, did not.
_MISTAKEN: Final = "'wsgi.input.readline()' was called with a size hint."


def validated_wsgi(application: Any, around: Around) -> Any:
    """Put wsgiref's validator and Werkzeug's around *application*; where there is no Werkzeug, the former alone."""
    validator = _wsgiref().validator
    thorough = validator(_linted(_telling(application, around)))
    # A linter counts the bytes of the body, of which HEAD has none although Content-Length is that of GET.
    of_head = validator(_telling(application, around))

    def reporting(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if around != "application":
            environ[_MENDED] = _mend(environ)
        checked = of_head if environ.get("REQUEST_METHOD") == "HEAD" else thorough
        complaints.begun()
        try:
            with _heard(around):
                chunks = checked(environ, start_response)
        except BaseException:
            complaints.ended()
            raise
        return _Reporting(chunks, around)

    return reporting


_MENDED: Final = "compat_matrix.mended"


def _mend(environ: dict[str, Any]) -> dict[str, Any]:
    """Take away what a server does wrong by itself, for the time that the validators look; return what it was.

    Werkzeug's REMOTE_PORT is a number, eventlet's headers_raw a tuple, Twisted has HTTP_CONTENT_TYPE as well.
    """
    wrong = {key: value for key, value in environ.items() if "." not in key and not isinstance(value, str)}
    wrong |= {key: environ[key] for key in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH") if key in environ}
    for key in wrong:
        del environ[key]
    if not hasattr(environ["wsgi.input"], "__iter__"):  # Cheroot's for chunks
        environ["wsgi.input"] = _Iterable(environ["wsgi.input"])
    return wrong


class _Iterable:
    def __init__(self, file: Any) -> None:
        self.read, self.readline, self.readlines = file.read, file.readline, file.readlines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")


def _telling(application: Any, around: Around) -> Any:
    """Hear what the validators raise *into* the application, which may swallow it."""

    def told(environ: dict[str, Any], start_response: Any) -> Any:
        def heard(*args: Any) -> Any:
            with _heard(around):
                return start_response(*args)

        environ.update(environ.pop(_MENDED, {}))
        environ["wsgi.input"] = _Input(environ["wsgi.input"], around)
        return application(environ, heard)

    return told


class _Input:
    """``wsgi.input`` as validators allow it to be read, for applications that know that it ends.

    Both validators refuse ``read()``: PEP 3333 lets it go on past the body. Where ``wsgi.input_terminated`` is set
    it does not, and Werkzeug calls it for each body there. ``read(-1)`` would say the same, but not to Granian.
    """

    def __init__(self, checked: Any, around: Around) -> None:
        self._checked = checked
        self._around = around

    def read(self, size: int | None = None) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self._read(_PIECE), b""))
        return self._read(size)

    def _read(self, size: int) -> bytes:
        with _heard(self._around):
            data: bytes = self._checked.read(size)
        return data

    def readline(self, *size: int) -> bytes:
        with _heard(self._around):
            # A linter that is told no size says that this is unsafe, one that is told one that it is not supported.
            line: bytes = self._checked.readline(*(size or (-1,)))
        return line

    def readlines(self, *hint: int) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")


# Copies of the validators' modules, so that what is changed in them is changed for nobody else.


def _copy(name: str) -> ModuleType:
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no module {name!r}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _wsgiref() -> ModuleType:
    validate = _copy("wsgiref.validate")
    # RFC 9110, 8.3: Content-Type is for a content, and even there it may be missing; with 204 and 304 it is not
    # forbidden. In any case it is the application's, and nobody's on the way.
    vars(validate)["check_content_type"] = lambda status, headers: None
    return validate


@cache
def _werkzeug() -> ModuleType:
    lint = _copy("werkzeug.middleware.lint")

    # Not by the filters of the warnings module: whoever changes them, and catch_warnings() in any thread, would decide
    # what is heard.
    def warn(message: str, category: type[Warning], **more: Any) -> None:
        # HTTPWarning is about the HTTP that the application speaks: Django's 304 has a Content-Length.
        if category is not lint.HTTPWarning and not message.startswith(_MISTAKEN):
            complaints.say(f"werkzeug: {message}")

    vars(lint)["warn"] = warn
    return lint


def _linted(application: Any) -> Any:
    return _werkzeug().LintMiddleware(application) if find_spec("werkzeug") else application


@contextmanager
def _heard(around: Around) -> Iterator[None]:
    """Say what wsgiref's validator raises, once on its way."""
    try:
        yield
    except AssertionError as error:
        # An application may raise one of its own; those of the validator come from its module.
        if not vars(error).get("told") and _raised_by_validator(error):
            vars(error)["told"] = True
            complaints.say(f"wsgiref, around the {around}: {error}")
        raise


def _raised_by_validator(error: AssertionError) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals is vars(_wsgiref())


class _Reporting:
    """The iterable of wsgiref's validator, with a word about what it raises and about being forgotten."""

    def __init__(self, chunks: Any, around: Around) -> None:
        self._chunks = chunks
        self._around = around
        self._closed = False

    def __iter__(self) -> _Reporting:
        return self

    def __next__(self) -> bytes:
        with _heard(self._around):
            chunk: bytes = next(self._chunks)
        return chunk

    def close(self) -> None:
        if self._closed:
            complaints.say(f"close() of what the {self._around} gave was called twice")
            return
        self._closed = True
        try:
            with _heard(self._around):
                self._chunks.close()
        finally:
            complaints.ended()

    def __del__(self) -> None:
        if not self._closed:
            self._closed = True
            # wsgiref's own word about it is an exception that nobody can catch.
            self._chunks.closed = True
            complaints.say(f"close() of what the {self._around} gave was not called (PEP 3333, Specification Details)")
            complaints.ended()


# -- ASGI -------------------------------------------------------------------------------------------------------------

# Errors and warnings are rules of the specification. INFO and PERF are advice: that a body is streamed is one of them,
# and so is a text without charset.
_SEVERE: Final = ("error", "warning")

# About what comes in: the scope (HS and three of the general rules) and the messages of receive().
_INCOMING: Final = (
    "HS-",
    "G-001",
    "G-002",
    "G-003",
    "G-004",
    "G-011",
    "G-012",
    "G-013",
    "HE-001",
    "HE-002",
    "HE-003",
    "HE-004",
)

_MISTAKEN_RULES: Final = {
    # The specification has defaults for the scheme, the raw path and the root path of a scope, and for the body of a
    # message: asgion wants them all.
    *("HS-008", "HS-014", "HS-018", "HE-001"),
    "SEM-004",  # a cookie without Secure: the application's own business, and there is no TLS here
    "SEM-001",  # Content-Type twice, if the application sets it twice
    "SEM-012",  # CORS headers
    # No start message, also said of an application whose exception is the server's to answer; told apart below.
    "HF-001",
    # A message sent after http.disconnect was received. ASGI HTTP specification, "Disconnected Client": that is a
    # no-op or OSError, and nobody can be quicker than a client that leaves with the last byte of Content-Length.
    "HF-005",
}


def counts(violation: Any, around: Around) -> bool:
    """Whether a violation that asgion has found is one, and the adapter's."""
    rule = violation.rule_id
    if str(violation.severity) not in _SEVERE or rule in _MISTAKEN_RULES:
        return False
    # RFC 9110, 8.6: the Content-Length of an answer to HEAD is that of the answer to GET; that of 304 likewise.
    if rule == "SEM-003" and (violation.method == "HEAD" or "actual body: 0 bytes" in violation.message):
        return False
    incoming = rule.startswith(_INCOMING)
    return (around == "application" and incoming) or (around == "adapter" and not incoming)


def validated_asgi(application: Any, around: Around) -> Any:
    """Put asgion around *application*; where it does not install (before Python 3.12), nothing but the count."""
    inspected = application
    if sys.version_info >= (3, 12) and find_spec("asgion") is not None:
        from asgion import Inspector

        def report(violation: Any) -> None:
            if counts(violation, around):
                complaints.say(f"asgion, around the {around}: {violation.rule_id} {violation.message}")

        inspector = Inspector(application, on_violation=report)
        inspected = inspector.asgi_app

    async def reporting(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":  # a lifespan ends with the server
            await inspected(scope, receive, send)
            return
        started = False

        async def watched(message: dict[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        complaints.begun()
        try:
            await inspected(scope, receive, watched)
            if not started and around == "adapter":
                complaints.say("asgion, around the adapter: HF-001 http.response.start was never sent")
        finally:
            complaints.ended()

    return reporting
