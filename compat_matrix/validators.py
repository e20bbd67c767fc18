"""Validators that others wrote, on both sides of an adapter, and what they complain about. Knows no adapter."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, Final
from wsgiref.validate import validator

_LIMIT: Final = 100  # complaints that are kept
_complaints: list[str] = []

# What asgion says of applications and not of the adapter, or as advice.
_SEVERE: Final = ("error", "warning")


def complain(text: str) -> None:
    """Keep a complaint for whoever asks ``/complaints``."""
    if len(_complaints) < _LIMIT:
        _complaints.append(text)


def take_complaints() -> bytes:
    """Return what was complained about since the last call, as a JSON list."""
    taken, _complaints[:] = list(_complaints), []
    return json.dumps(taken).encode()


def complaints_wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with :func:`take_complaints`."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [take_complaints()]


async def complaints_asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with :func:`take_complaints`."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": take_complaints()})


def validated(application: Any, adapt: Callable[[Any], Any], interface: str, *, bridged: bool) -> Any:
    """Return *application* behind the adapter, with validators on each side of it.

    Args:
        application: WSGI or ASGI.
        adapt: the adapter; what it is given back is served.
        interface: of *application*: ``"wsgi"`` or ``"asgi"``.
        bridged: whether *adapt* changes the interface.
    """
    inside, outside = (_wsgi, _asgi) if interface == "wsgi" else (_asgi, _wsgi)
    return outside(adapt(inside(application))) if bridged else inside(application)


def _wsgi(application: Any) -> Any:
    """Put wsgiref's validator and Werkzeug's around *application*."""
    from werkzeug.middleware.lint import HTTPWarning, LintMiddleware, WSGIWarning

    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, (HTTPWarning, WSGIWarning)):
            complain(f"werkzeug: {message}")
        shown(message, category, *rest)

    warnings.showwarning = show  # type: ignore[assignment]
    warnings.simplefilter("always", HTTPWarning)
    warnings.simplefilter("always", WSGIWarning)
    checked = validator(LintMiddleware(application))

    def reporting(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            chunks: Iterable[bytes] = checked(environ, start_response)
        except AssertionError as error:
            complain(f"wsgiref: {error}")
            raise
        return _Reporting(chunks)

    return reporting


class _Reporting:
    """The iterable of wsgiref's validator, with a word about what it raises."""

    def __init__(self, chunks: Any) -> None:
        self._chunks = iter(chunks)
        self._close = chunks.close

    def __iter__(self) -> _Reporting:
        return self

    def __next__(self) -> bytes:
        try:
            chunk: bytes = next(self._chunks)
        except AssertionError as error:
            complain(f"wsgiref: {error}")
            raise
        return chunk

    def close(self) -> None:
        try:
            self._close()
        except AssertionError as error:
            complain(f"wsgiref: {error}")
            raise


def _asgi(application: Any) -> Any:
    """Put asgion around *application*; where it does not install (before Python 3.12), nothing."""
    if sys.version_info < (3, 12) or find_spec("asgion") is None:
        return application
    from asgion import Inspector

    def report(violation: Any) -> None:
        if str(violation.severity) in _SEVERE:
            complain(f"asgion {violation.rule_id}: {violation.message}")

    return Inspector(application, on_violation=report).asgi_app
