"""WebSockets of WSGI applications, one function a path; run in the server's process and served to real clients.

Those that are written for a library are in websocket_libraries.py.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import bridge
from tests.end_to_end.websocket_libraries import LIBRARIES

if TYPE_CHECKING:
    from bridge.protocols import Environ, Receive, Scope, Send, StartResponse

_PAGE = os.sysconf("SC_PAGESIZE")

_flooded = threading.Condition()
_flood = 0
_hurry = threading.Event()


def log(line: str) -> None:
    """Write to the server's log."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def echo(websocket: bridge.WebSocket, query: dict[str, str]) -> None:
    """Send back each message; say in the log how it ended."""
    websocket.accept("chat" if "chat" in websocket.subprotocols else None)
    for message in websocket:
        websocket.send(message)
    log(f"ended with {websocket.close_code} {websocket.close_reason!r}")


def shown(websocket: bridge.WebSocket, query: dict[str, str], environ: Environ) -> None:
    """Accept with a subprotocol out of the query and headers; send what the application sees of the handshake."""
    websocket.accept(query.get("choose"), [("X-Served", "yes"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    facts = {name: value for name, value in environ.items() if isinstance(value, str)}
    websocket.send(json.dumps({"environ": facts, "subprotocols": websocket.subprotocols}))


def close(websocket: bridge.WebSocket, query: dict[str, str]) -> None:
    websocket.accept()
    websocket.send("last")
    websocket.close(int(query["code"]), "why")


def returns(websocket: bridge.WebSocket, query: dict[str, str]) -> None:
    websocket.accept()


def fail(websocket: bridge.WebSocket, query: dict[str, str]) -> None:
    websocket.accept()
    raise RuntimeError("the application failed")


def refuse(websocket: bridge.WebSocket, query: dict[str, str]) -> None:
    websocket.close()


def fail_before(websocket: bridge.WebSocket, query: dict[str, str]) -> None:
    raise RuntimeError("the application failed before it accepted")


def sends(websocket: bridge.WebSocket, query: dict[str, str]) -> None:
    """Send without end; say in the log how it ended."""
    websocket.accept()
    try:
        while True:
            websocket.send(b"x" * 65536)
    except OSError as error:
        log(f"sending ended with {type(error).__name__}, then {websocket.close_code}")


def flood(websocket: bridge.WebSocket, query: dict[str, str]) -> None:
    """Send 128 MiB as fast as the client takes them."""
    global _flood
    websocket.accept()
    for _ in range(2048):
        websocket.send(b"x" * 65536)
        with _flooded:
            _flood += 1
            _flooded.notify_all()


def drowsy(websocket: bridge.WebSocket, query: dict[str, str]) -> None:
    """Receive nothing until somebody asks for /hurry; then all, and say how many bytes it was."""
    _hurry.clear()
    websocket.accept()
    websocket.send("asleep")
    _hurry.wait(20)
    received = 0
    for message in websocket:
        if message == "end":
            break
        received += len(message)
    websocket.send(str(received))


SOCKETS: dict[str, Any] = {
    "/echo": echo,
    "/close": close,
    "/returns": returns,
    "/fail": fail,
    "/refuse": refuse,
    "/fail_before": fail_before,
    "/sends": sends,
    "/flood": flood,
    "/drowsy": drowsy,
}


def stalled() -> bytes:
    """Return the number of messages that the flood has sent, once it has sent none for half a second."""
    with _flooded:
        while _flooded.wait(0.5):
            pass
        return b"%d" % _flood


def memory() -> bytes:
    """Return the bytes of memory that this process has."""
    return b"%d" % (int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE)


def hurry() -> bytes:
    _hurry.set()
    return b"yes"


PAGES: dict[str, Callable[[], bytes]] = {
    "/stalled": stalled,
    "/memory": memory,
    "/hurry": hurry,
    "/hello": lambda: b"hello",
}


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Call the application at this path; answer any other with 401."""
    path = environ["PATH_INFO"]
    library = LIBRARIES.get(path.split("/")[1])
    if library is not None:
        return library(environ, start_response)
    if path in PAGES:
        body = PAGES[path]()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]
    if "bridge.websocket" not in environ or path not in (*SOCKETS, "/shown"):
        start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
        return [b"who are you?"]
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    if path == "/shown":
        shown(bridge.websocket(environ), query, environ)
    else:
        SOCKETS[path](bridge.websocket(environ), query)
    return []


whole = bridge.WsgiToAsgi(application, websocket_threads=120)
# For as many WebSockets as the option allows by default, and for one at a time.
MOUNTED = {"/hundred": bridge.WsgiToAsgi(application), "/one": bridge.WsgiToAsgi(application, websocket_threads=1)}


async def served(scope: Scope, receive: Receive, send: Send) -> None:
    """Mount the adapters with a limit of their own below its name; say in the log when one has ended."""
    mount = "/" + str(scope.get("path", "/")).split("/")[1]
    if mount not in MOUNTED:
        await whole(scope, receive, send)
        return
    adapter = MOUNTED[mount]
    try:
        await adapter({**scope, "root_path": mount}, receive, send)
    finally:
        log(f"over: {scope['path']}, {adapter.stats().websockets} left")
