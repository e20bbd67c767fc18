"""The WebSocket scenarios: names, titles, contestants, references. Measures through real servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.asgi_wrappers import REQUEST_LOOP, SHARED_LOOP
from benchmarks.model import Contestant, Reference, Scenario
from benchmarks.websocket.client import CONNECTIONS, MANY
from benchmarks.websocket.frames import CYCLE, PAYLOAD
from benchmarks.websocket.sample import echo_latency, echo_rate

# wsproto is what simple-websocket and AsgiToWsgi speak, so this compares servers and not parsers of frames.
_WSPROTO = ("uvicorn-httptools", "--ws", "wsproto")
# What Uvicorn takes by itself once it finds the package websockets, which speaks in part through C.
_DEFAULT = ("uvicorn-httptools", "--ws", "websockets-sansio")
# A thread for each WebSocket, with some to spare for those that are just ending.
_GTHREAD = ("gunicorn-gthread", "--threads", str(MANY + 10))
_GEVENT = ("gunicorn-gevent",)
_WERKZEUG = ("werkzeug",)


@dataclass(frozen=True)
class _Echo:
    """A contestant that no scenario has asked anything yet.

    Attributes:
        server: a key of ``compat_matrix.servers.RECIPES``, and options of the server.
        module: of ``benchmarks.served``.
    """

    name: str
    server: tuple[str, ...]
    module: str
    note: str = ""

    def with_rate(self, in_flight: int) -> Contestant:
        server, *extra = self.server
        return Contestant(self.name, partial(echo_rate, server, self.module, extra, in_flight), self.note)

    def with_latency(self) -> Contestant:
        server, *extra = self.server
        return Contestant(self.name, partial(echo_latency, server, self.module, extra), self.note)


_NATIVE = "reference: no bridge"

_BRIDGE = _Echo("bridge.websocket()", _WSPROTO, "websocket_wsgi_bridge")
_SOCK_BRIDGE = _Echo("flask-sock, Uvicorn + bridge", _WSPROTO, "websocket_flask_sock_bridge")
_SOCK_GUNICORN = _Echo("flask-sock, Gunicorn gthread", _GTHREAD, "websocket_flask_sock", _NATIVE)
_SOCK_WERKZEUG = _Echo("flask-sock, Werkzeug", _WERKZEUG, "websocket_flask_sock", _NATIVE)
_ASGI = _Echo("ASGI, Uvicorn", _WSPROTO, "websocket_asgi", _NATIVE)
_BRIDGE_DEFAULT = _Echo("bridge.websocket(), default --ws", _DEFAULT, "websocket_wsgi_bridge")
_ASGI_DEFAULT = _Echo("ASGI, Uvicorn, default --ws", _DEFAULT, "websocket_asgi", _NATIVE)

_REQUEST = _Echo(REQUEST_LOOP, _GTHREAD, "websocket_asgi_request")
_SHARED = _Echo(SHARED_LOOP, _GTHREAD, "websocket_asgi_shared")
_REQUEST_GEVENT = _Echo(f"{REQUEST_LOOP}, gevent", _GEVENT, "websocket_asgi_request")
_SHARED_GEVENT = _Echo(f"{SHARED_LOOP}, gevent", _GEVENT, "websocket_asgi_shared")

# They are asked, too: what they answer to the handshake is the reason in their rows. Once, since who fails is out.
_WSGI_PEERS = (
    _Echo("a2wsgi", _WSPROTO, "websocket_wsgi_a2wsgi"),
    _Echo("asgiref", _WSPROTO, "websocket_wsgi_asgiref"),
    _Echo("Starlette's wrapper", _WSPROTO, "websocket_wsgi_starlette"),
    _Echo("Uvicorn's wrapper", _WSPROTO, "websocket_wsgi_uvicorn"),
    _Echo("Hypercorn's wrapper", _WSPROTO, "websocket_wsgi_hypercorn"),
)
_ASGI_PEERS = (_Echo("a2wsgi", _GTHREAD, "websocket_asgi_a2wsgi"),)


def _three_at_most(rounds: int) -> int:
    # There are many contestants, and most of a sample is the start of its server.
    return min(rounds, 3)


def _rate(
    name: str,
    title: str,
    in_flight: int,
    subjects: Sequence[_Echo],
    others: Sequence[_Echo],
    references: tuple[Reference, ...],
) -> Scenario:
    messages = f"{in_flight} message{'s' * (in_flight != 1)} of {PAYLOAD} bytes under way on each"
    return Scenario(
        name=name,
        title=f"{title}, {CONNECTIONS} connections, {messages}",
        unit="messages/s",
        subjects=tuple(subject.name for subject in subjects),
        contestants=tuple(echo.with_rate(in_flight) for echo in (*subjects, *others)),
        references=references,
        rounds=_three_at_most,
    )


def _latency(
    name: str, title: str, subjects: Sequence[_Echo], others: Sequence[_Echo], references: tuple[Reference, ...]
) -> Scenario:
    return Scenario(
        name=name,
        title=f"{title}, there and back on one connection, p50",
        unit="µs",
        subjects=tuple(subject.name for subject in subjects),
        contestants=tuple(echo.with_latency() for echo in (*subjects, *others)),
        references=references,
        further=("p99", f"p99 of {MANY} connections"),
        higher_is_better=False,
        rounds=_three_at_most,
    )


_WSGI_TITLE = "WebSocket echo of WSGI applications"
_WSGI = (_BRIDGE, _SOCK_BRIDGE)
_WSGI_NATIVE = (_SOCK_GUNICORN, _SOCK_WERKZEUG, _ASGI)
_WSGI_REFERENCES = (
    Reference("flask-sock on Gunicorn", (_SOCK_GUNICORN.name,)),
    Reference("flask-sock on Werkzeug", (_SOCK_WERKZEUG.name,)),
    Reference("ASGI", (_ASGI.name,)),
)

_ASGI_TITLE = "WebSocket echo of an ASGI application"
_ASGI_BRIDGE = (_REQUEST, _SHARED)
_ASGI_GEVENT = (_REQUEST_GEVENT, _SHARED_GEVENT)
_ASGI_REFERENCES = (
    Reference("Uvicorn", (_ASGI.name,)),
    Reference("Uvicorn, default --ws", (_ASGI_DEFAULT.name,)),
)

SCENARIOS = (
    _rate(
        "websocket_wsgi",
        _WSGI_TITLE,
        1,
        (*_WSGI, _BRIDGE_DEFAULT),
        (*_WSGI_NATIVE, _ASGI_DEFAULT, *_WSGI_PEERS),
        (*_WSGI_REFERENCES, Reference("ASGI, default --ws", (_ASGI_DEFAULT.name,))),
    ),
    _rate(
        "websocket_wsgi_pipelined",
        _WSGI_TITLE,
        CYCLE,
        _WSGI,
        (_SOCK_GUNICORN, _ASGI),
        tuple(reference for reference in _WSGI_REFERENCES if reference.names != (_SOCK_WERKZEUG.name,)),
    ),
    _latency("websocket_wsgi_latency", _WSGI_TITLE, _WSGI, _WSGI_NATIVE, _WSGI_REFERENCES),
    _rate(
        "websocket_asgi",
        _ASGI_TITLE,
        1,
        (*_ASGI_BRIDGE, *_ASGI_GEVENT),
        (_ASGI, _ASGI_DEFAULT, *_ASGI_PEERS),
        _ASGI_REFERENCES,
    ),
    _rate("websocket_asgi_pipelined", _ASGI_TITLE, CYCLE, _ASGI_BRIDGE, (_ASGI,), _ASGI_REFERENCES[:1]),
    _latency("websocket_asgi_latency", _ASGI_TITLE, _ASGI_BRIDGE, (_ASGI, _ASGI_DEFAULT), _ASGI_REFERENCES),
)
