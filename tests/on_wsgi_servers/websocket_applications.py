"""The ASGI applications of the WebSocket tests, one coroutine function a path; run in the server's process.

Raw ASGI, anyio, and an adapter for each way to run the event loop, as in applications.py.
"""

from collections.abc import Iterable
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


async def sleeps(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive nothing for as long as it lives."""
    await accept(receive, send)
    await anyio.sleep_forever()


ROUTES = {
    f"/{function.__name__}": function
    for function in (echo, chooses, returns, fails, fails_before, refuses, denies, sends, sleeps)
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the application at this path; greet whoever asks for no WebSocket."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})
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
