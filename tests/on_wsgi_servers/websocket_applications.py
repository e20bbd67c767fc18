"""The ASGI applications of the WebSocket tests, one coroutine function a path; run in the server's process.

Raw ASGI, anyio, and an adapter for each way to run the event loop, as in applications.py.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

import bridge
from tests.on_wsgi_servers.applications import Message, Receive, Scope, Send, log

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


async def accept(receive: Receive, send: Send, **options: Any) -> None:
    """Accept the WebSocket."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", **options})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send back each message; say in the log how it ended."""
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    log(f"ended with {message['code']} {message['reason']!r}")


async def shows(scope: Scope, receive: Receive, send: Send) -> None:
    """Send what the scope says of the handshake."""
    await accept(receive, send)
    facts = {name: scope[name] for name in ("path", "root_path", "scheme", "http_version", "subprotocols")}
    facts["query_string"] = scope["query_string"].decode()
    facts["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    await send({"type": "websocket.send", "text": json.dumps(facts)})


async def chooses(scope: Scope, receive: Receive, send: Send) -> None:
    """Choose the last subprotocol, set a header, and close with what the client says."""
    await accept(receive, send, subprotocol=scope["subprotocols"][-1], headers=[(b"x-served", b"yes")])
    code, _, reason = (await receive())["text"].partition(" ")
    await send({"type": "websocket.close", "code": int(code), "reason": reason})
    log(f"after the close: {(await receive())['code']}")


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    """Return without a close."""
    await accept(receive, send)


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise after the accept."""
    await accept(receive, send)
    raise RuntimeError("the application failed")


async def fails_before(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise before the accept."""
    raise RuntimeError("the application failed early")


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    """Close before the accept."""
    await send({"type": "websocket.close"})


async def denies(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a response in two chunks."""
    start: Message = {"status": 401, "headers": [(b"www-authenticate", b"Basic"), (b"content-length", b"8")]}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"are?"})


async def sends(scope: Scope, receive: Receive, send: Send) -> None:
    """Send without end; say in the log how many messages have left before the client did."""
    await accept(receive, send)
    sent = 0
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65_536)})
            sent += 1
    except OSError as error:
        log(f"{sent} sent, then {type(error).__name__}")
        raise


_hurry: anyio.Event


async def drowsy(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive nothing until somebody asks for /hurry on the same loop; then all, and say how many bytes it was."""
    global _hurry
    _hurry = anyio.Event()
    await accept(receive, send)
    await send({"type": "websocket.send", "text": "asleep"})
    await _hurry.wait()
    received = 0
    while (message := await receive()).get("bytes") is not None:
        received += len(message["bytes"])
    await send({"type": "websocket.send", "text": str(received)})


async def sleeps(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive nothing for as long as it lives."""
    await accept(receive, send)
    await anyio.sleep_forever()


ROUTES = {
    f"/{function.__name__}": function
    for function in (echo, shows, chooses, returns, fails, fails_before, refuses, denies, sends, drowsy, sleeps)
}


def memory() -> bytes:
    """Return the bytes of memory that this process has."""
    return b"%d" % (int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))


def hurry() -> bytes:
    """Wake ``drowsy``."""
    _hurry.set()
    return b"yes"


PAGES: dict[str, Callable[[], bytes]] = {
    "/memory": memory,
    "/hurry": hurry,
    "/pid": lambda: b"%d" % os.getpid(),
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the application at this path; greet whoever asks for no WebSocket."""
    if scope["type"] == "http":
        body = PAGES.get(scope["path"].removeprefix(scope["root_path"]), lambda: b"hello")()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
        return
    if scope["type"] != "websocket":
        raise ValueError(f"this application has no {scope['type']}")
    await ROUTES[scope["path"].removeprefix(scope["root_path"])](scope, receive, send)


ADAPTERS = {
    "request": bridge.AsgiToWsgi(application, loop="request", lifespan="off"),
    "shared": bridge.AsgiToWsgi(application, loop="shared", lifespan="off"),
    "trio-request": bridge.AsgiToWsgi(application, loop="request", backend="trio", lifespan="off"),
    "trio-shared": bridge.AsgiToWsgi(application, loop="shared", backend="trio", lifespan="off"),
    "small": bridge.AsgiToWsgi(application, loop="request", lifespan="off", max_message_size=1000),
}


def served(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Mount each adapter below its name."""
    name = environ["PATH_INFO"].split("/")[1]
    environ["SCRIPT_NAME"] += "/" + name
    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/" + name)
    return ADAPTERS[name](environ, start_response)
