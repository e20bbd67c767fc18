"""Results of runs that never were: a small one with one of everything, and one as large as any. Starts no server."""

from __future__ import annotations

import random
from collections.abc import Iterable

from compat_matrix.model import NATIVE, Cell, CellState, Check, Evidence, Interface, Outcome, OutcomeName, Place
from compat_matrix.results import Environment, Results

HOSTILE = (
    "<script>window.injected = 1</script></script><!--<script>"
    "<img src=x onerror='window.injected = 2'><svg onload='window.injected = 3'>"
    "\"'&amp;]]>{{data}}\x00\x07\x1b[31m\x85\u202e\ud800\ufffe\r\nend\rline"
)
"""What nobody should let into a page, an XML document or a terminal."""

ENVIRONMENT = Environment(
    "3.12.4", "Linux-6.1.0-x86_64-with-glibc2.36", {"django": "5.2", "flask": "3.1.3", "uvicorn": "0.35.0"}
)

_SUBJECTS = {
    "http.request": ("Method, path and query reach the view as they were sent.", "RFC 9110, 7.1"),
    "http.request.headers": ("Repeated request headers are joined with a comma.", "RFC 9110, 5.3"),
    "http.request.upload": (
        "An upload arrives whole, with the digest it was sent with.",
        "PEP 3333, Input and Error Streams",
    ),
    "http.request.forged": ("X_Forwarded_For does not pass for X-Forwarded-For.", "PEP 3333, environ Variables"),
    "http.response.stream": (
        "Each chunk is sent before the next one is asked for.",
        "PEP 3333, Buffering and Streaming",
    ),
    "http.response.truncated": ("A response that breaks off is not framed as complete.", "RFC 9112, 8"),
    "http.response.close": ("close() is called once, however the response ends.", "PEP 3333, The Application Side"),
    "http.response.head": ("HEAD has the headers of GET and no body.", "RFC 9110, 9.3.2"),
    "http.response.backpressure": ("The application waits while the client does not read.", "ASGI HTTP, Response Body"),
    "http.cookies": ("Two Set-Cookie headers stay two.", "RFC 6265, 3"),
    "lifespan.startup": ("Startup is complete before the first request.", "ASGI Lifespan, Startup"),
    "disconnect.upload": ("The application is told that the client left.", "ASGI HTTP, Disconnect"),
}


def checks(count: int) -> tuple[Check, ...]:
    """Return checks that can be reported, not run."""
    made = []
    for number in range(count):
        id, (meaning, clause) = list(_SUBJECTS.items())[number % len(_SUBJECTS)]
        turn = number // len(_SUBJECTS)
        kind = "contract" if number % 3 == 0 else "oracle"
        made.append(Check(f"{id}.{turn}" if turn else id, meaning, clause, kind, lambda site: None))  # type: ignore[arg-type]
    return tuple(made)


def cell(
    app: str, server: str, adapter: str, *found: Outcome | OutcomeName, not_run: str = "", state: CellState = "run"
) -> Cell:
    """Return a cell with an outcome for each check in turn."""
    asked = checks(len(found))
    return Cell(
        Place(app, server, adapter),
        tuple(
            one if isinstance(one, Outcome) else Outcome(check.id, one, "" if one == "pass" else f"said {one}", 0.0123)
            for check, one in zip(asked, found, strict=True)
        ),
        not_run,
        state,
    )


def failure(number: int, reason: str = "status: expected 200, got 500", **evidence: str) -> Outcome:
    """Return a failure of the check of this number."""
    return Outcome(checks(number + 1)[number].id, "fail", reason, 0.25, Evidence(**evidence) if evidence else None)


NOT_STARTED = "the server did not start: hypercorn-trio ended before its log had 'Running'. Log:\nTraceback: trio\n"

APPS: dict[str, Interface] = {"flask": "wsgi", "django": "wsgi", "starlette": "asgi"}
SERVERS: dict[str, Interface] = {
    "uvicorn-h11": "asgi",
    "hypercorn-trio": "asgi",
    "daphne": "asgi",
    "gunicorn-gthread": "wsgi",
    "waitress": "wsgi",
}


def small(*, complete: bool = True) -> Results:
    """Return a run with one of everything: four checks, hostile evidence."""
    hostile = failure(1, HOSTILE, request=HOSTILE, answer=HOSTILE, expected="HTTP/1.1 200 OK\r\n\r\n", log=HOSTILE)
    cells = [
        cell("flask", "uvicorn-h11", "bridge", "pass", "pass", "pass", "n/a"),
        cell("flask", "daphne", "bridge", "pass", "known", "pass", "n/a"),
        cell("django", "uvicorn-h11", "bridge", "pass", hostile, "pass", "pass"),
        cell("django", "daphne", "bridge", not_run="daphne needs 'daphne', which cannot be imported", state="missing"),
        cell("flask", "hypercorn-trio", "bridge", not_run=NOT_STARTED, state="not started"),
        cell("starlette", "waitress", "bridge", "pass", "pass", "pass", "pass"),
        cell("flask", "uvicorn-h11", "a2wsgi", "pass", "fail", "fail", "n/a"),
        cell("flask", "gunicorn-gthread", NATIVE, "pass", "pass", "pass", "n/a"),
    ]
    if not complete:
        cells.append(
            cell("starlette", "gunicorn-gthread", "bridge", "pass", "pass", not_run="interrupted", state="interrupted")
        )
    return Results(checks(4), "2026-03-01T10:20:30+00:00", cells, complete, ENVIRONMENT, APPS, SERVERS)


_ALL_APPS: dict[str, Interface] = {
    **dict.fromkeys(("flask", "django", "bottle", "pyramid", "falcon"), "wsgi"),
    **dict.fromkeys(("django-asgi", "starlette", "fastapi", "quart", "sanic"), "asgi"),
    **dict.fromkeys(("litestar", "falcon-asgi", "channels", "flask-asgi", "django-rest"), "asgi"),
}
_ALL_SERVERS: dict[str, Interface] = {
    **dict.fromkeys(("uvicorn-h11", "uvicorn-httptools", "hypercorn-asyncio", "hypercorn-uvloop"), "asgi"),
    **dict.fromkeys(("hypercorn-trio", "daphne", "granian"), "asgi"),
    **dict.fromkeys(("gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "waitress", "granian-wsgi"), "wsgi"),
    **dict.fromkeys(("wsgiref", "werkzeug", "werkzeug-serial", "cheroot", "gevent", "eventlet", "twisted"), "wsgi"),
    **dict.fromkeys(("uwsgi", "uwsgi-processes", "mod-wsgi"), "wsgi"),
}
_ANSWER = "HTTP/1.1 {status}\r\ndate: Mon, 01 Mar 2026 10:20:30 GMT\r\ncontent-type: text/plain\r\n\r\n{body}\r\n"
_LOG = 'INFO:     127.0.0.1:{port} - "GET /stream HTTP/1.1" {status}\n'


def full(*, crossed: bool = False) -> Results:
    """Return a run of everything: 15 applications, 22 servers, 60 checks.

    Args:
        crossed: every application on every server, through three adapters, with 90 checks: more than can be.
    """
    dice = random.Random(4)
    asked = checks(90 if crossed else 60)
    rates = {"bridge": 0.0005, "a2wsgi": 0.06, NATIVE: 0.002}
    if not crossed:
        rates.update({"asgiref": 0.12, "uvicorn": 0.16, "hypercorn": 0.1})
    cells = []
    for adapter, rate in rates.items():
        for app, takes in _ALL_APPS.items():
            for server, gives in _ALL_SERVERS.items():
                if crossed or _fits(adapter, takes, server, gives):
                    place = Place(app, server, adapter)
                    if server == "mod-wsgi":
                        cells.append(Cell(place, (), "mod-wsgi needs 'mod_wsgi', which cannot be imported"))
                    else:
                        cells.append(Cell(place, tuple(_outcomes(dice, asked, place, rate))))
    interfaces = ({}, {}) if crossed else (_ALL_APPS, _ALL_SERVERS)
    return Results(asked, "2026-03-01T10:20:30+00:00", cells, True, ENVIRONMENT, *interfaces)


def _fits(adapter: str, takes: Interface, server: str, gives: Interface) -> bool:
    if adapter == NATIVE:
        return takes == gives
    if adapter in ("uvicorn", "hypercorn"):
        return takes == "wsgi" and server.startswith(adapter)
    return takes != gives and (adapter != "asgiref" or takes == "wsgi")


def _outcomes(dice: random.Random, asked: Iterable[Check], place: Place, rate: float) -> Iterable[Outcome]:
    for number, check in enumerate(asked):
        seconds = dice.random() / 20
        if place.server == "wsgiref" and number == 8:
            reason = "wsgiref closes the connection first: https://github.com/python/cpython/issues/0"
            yield Outcome(check.id, "known", reason, seconds, Evidence("GET / HTTP/1.1\r\n\r\n", "", "", "closed\n"))
        elif number % 30 == 29:
            yield Outcome(check.id, "n/a", f"{place.server}: http2 is False there")
        elif dice.random() < rate * (1 + 5 * (number % 12 == 4)):
            port = dice.randrange(30000, 60000)
            evidence = Evidence(
                f"GET /stream?wire={port} HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
                _ANSWER.format(status="500 Internal Server Error", body="Internal Server Error"),
                _ANSWER.format(status="200 OK", body="first\nsecond\nthird"),
                "".join(_LOG.format(port=port + line, status=200) for line in range(dice.randrange(2, 50))),
            )
            reason = "differs from the native run: status: expected 200, got 500"
            yield Outcome(check.id, "fail", reason, seconds, evidence)
        else:
            yield Outcome(check.id, "pass", "", seconds)
