"""The ASGI applications that the tests serve, one coroutine function a path; run in the server's process.

Raw ASGI, so that nothing stands between the bridge and what is asserted. The first segment of a request's path
chooses the adapter, so one server process shows all of them. anyio, since some of the adapters run on trio.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import parse_qs

import anyio
import uvloop
from anyio.streams.memory import MemoryObjectSendStream

import bridge
from compat_matrix.apps.support import AsyncWire

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

TIMEOUT = 10.0  # seconds, for every wait in here
PIECE = 16_384  # bytes

ROUTES: dict[str, AsgiApplication] = {}


def route(path: str) -> Callable[[AsgiApplication], AsgiApplication]:
    """Serve the decorated application at *path*."""

    def register(app: AsgiApplication) -> AsgiApplication:
        ROUTES[path] = app
        return app

    return register


def parameter(scope: Scope, name: str) -> str:
    """Return one value out of the query string."""
    query: bytes = scope["query_string"]
    return parse_qs(query.decode())[name][0]


def wire_of(scope: Scope) -> AsyncWire:
    """Connect to the test whose port is in the query string."""
    return AsyncWire(parameter(scope, "wire"))


async def start(send: Send, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    """Send the start of a response."""
    # One header at least: Werkzeug takes a response without any for one that was not started, and appends its
    # own page about an error to the body.
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-served", b"yes"), *headers]})


async def chunk(send: Send, body: bytes, *, last: bool = False) -> None:
    """Send a chunk of a response's body."""
    await send({"type": "http.response.body", "body": body, "more_body": not last})


async def respond(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send a whole response with its length declared."""
    await start(send, 200, (b"content-length", str(len(body)).encode()), *headers)
    await chunk(send, body, last=True)


# ---- requests -------------------------------------------------------------------------------


async def report(scope: Scope, receive: Receive, send: Send) -> None:
    """The scope as JSON, bytes as latin-1, and the process it arrived in."""
    facts = {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in scope.items()
        if name not in ("headers", "wsgi.environ")
    }
    facts["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    facts["pid"] = os.getpid()
    await respond(send, json.dumps(facts).encode(), (b"content-type", b"application/json"))


@route("/loop")
async def loop_in_use(scope: Scope, receive: Receive, send: Send) -> None:
    """Which library the event loop is from; asyncio's kind only."""
    await respond(send, type(asyncio.get_running_loop()).__module__.partition(".")[0].encode())


@route("/environ")
async def environ(scope: Scope, receive: Receive, send: Send) -> None:
    """What the environ says, as far as JSON has it."""
    while (await receive()).get("more_body"):
        pass
    facts = {name: value for name, value in scope["wsgi.environ"].items() if isinstance(value, (str, bool))}
    await respond(send, json.dumps(facts).encode(), (b"content-type", b"application/json"))


@route("/held")
async def held(scope: Scope, receive: Receive, send: Send) -> None:
    """The same, when the test says so."""
    async with wire_of(scope) as wire:
        await wire.say("called")
        await wire.wait_for("go on")
    await report(scope, receive, send)


@route("/digest")
async def digest(scope: Scope, receive: Receive, send: Send) -> None:
    """Length and SHA-256 of the body, and how it ended."""
    sha256 = hashlib.sha256()
    length = 0
    more_body = True
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        sha256.update(message.get("body", b""))
        length += len(message.get("body", b""))
        more_body = message.get("more_body", False)
    facts = {"length": length, "sha256": sha256.hexdigest(), "complete": not more_body}
    await respond(send, json.dumps(facts).encode(), (b"content-type", b"application/json"))


@route("/asked-for")
async def asked_for(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body only when the test says so."""
    async with wire_of(scope) as wire:
        await wire.say("called")
        await wire.wait_for("read")
        message = await receive()
    await respond(send, message["body"])


@route("/refuses-body")
async def refuses_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without having read."""
    await start(send, 403, (b"content-length", b"7"))
    await chunk(send, b"refused", last=True)


_uploads = 0


@route("/uploads")
async def uploads(scope: Scope, receive: Receive, send: Send) -> None:
    """Say how many uploads there were."""
    await respond(send, str(_uploads).encode())


@route("/upload")
async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell the test when the body began to arrive and how it ended."""
    global _uploads
    _uploads += 1
    async with wire_of(scope) as wire:
        message = await receive()
        await wire.say("begun")
        while message["type"] == "http.request" and message.get("more_body"):
            message = await receive()
        await wire.say(message["type"])
        await wire.wait_for("answer")
    await respond(send, b"received")


@route("/gives-up")
async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for the rest of the body for a moment only."""
    message = await receive()
    with anyio.move_on_after(0.05):
        while message["type"] == "http.request" and message["more_body"]:
            message = await receive()
    if scope["query_string"]:
        async with wire_of(scope) as wire:
            await wire.say("gave up")
    await start(send, 408, (b"content-length", b"8"))
    await chunk(send, b"too slow", last=True)


# ---- complete responses ---------------------------------------------------------------------


@route("/hello")
async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Five bytes with their length declared."""
    await respond(send, b"hello")


@route("/in-one-message")
async def in_one_message(scope: Scope, receive: Receive, send: Send) -> None:
    """Five bytes, the length left to the bridge and the server."""
    await start(send)
    await chunk(send, b"hello", last=True)


@route("/in-pieces")
async def in_pieces(scope: Scope, receive: Receive, send: Send) -> None:
    """As many chunks as asked for, of unknown length in all."""
    await start(send)
    for number in range(int(parameter(scope, "pieces"))):
        await chunk(send, bytes([number % 256]) * PIECE)
    await chunk(send, b"", last=True)


@route("/empty")
async def empty(scope: Scope, receive: Receive, send: Send) -> None:
    """A response without a byte."""
    await start(send)
    await chunk(send, b"", last=True)


@route("/no-content")
async def no_content(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 204)
    await chunk(send, b"", last=True)


@route("/not-modified")
async def not_modified(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 304, (b"etag", b'"1"'))
    await chunk(send, b"", last=True)


@route("/repeated-headers")
async def repeated_headers(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, b"hello", (b"set-cookie", b"a=1"), (b"x-latin", b"caf\xe9"), (b"set-cookie", b"b=2"))


@route("/file")
async def file(scope: Scope, receive: Receive, send: Send) -> None:
    """A file, left to the server where it offers that; the head says how it leaves."""
    path = parameter(scope, "path")
    by_server = "http.response.pathsend" in scope["extensions"]
    length = str(os.stat(path).st_size).encode()
    await start(send, 200, (b"content-length", length), (b"x-sent-by", b"server" if by_server else b"application"))
    if by_server:
        await send({"type": "http.response.pathsend", "path": path})
    else:
        await chunk(send, await anyio.Path(path).read_bytes(), last=True)


# ---- responses that take their time ---------------------------------------------------------


@route("/hints")
async def hints(scope: Scope, receive: Receive, send: Send) -> None:
    """Hint, and respond when the test says so."""
    async with wire_of(scope) as wire:
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
        await wire.wait_for("go on")
    await respond(send, b"hello")


@route("/leaves-a-task")
async def leaves_a_task(scope: Scope, receive: Receive, send: Send) -> None:
    """Forget a task that would go on for ever."""
    asyncio.ensure_future(forgotten())  # noqa: RUF006
    await asyncio.sleep(0)
    await respond(send, b"hello")


async def forgotten() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        log("the forgotten task was awaited")


@route("/streams")
async def streams(scope: Scope, receive: Receive, send: Send) -> None:
    """Each next chunk is not made before the test says so."""
    async with wire_of(scope) as wire:
        await wire.say("called")
        await wire.wait_for("start")
        await start(send)
        for body in (b"first ", b"second "):
            await chunk(send, body)
            await wire.wait_for("go on")
    await chunk(send, b"third", last=True)


@route("/answers-while-reading")
async def answers_while_reading(scope: Scope, receive: Receive, send: Send) -> None:
    """The response begins before the request's body has arrived as a whole."""
    message = await receive()
    await start(send)
    await chunk(send, b"begun ")
    while message["more_body"]:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
    await chunk(send, b"ended", last=True)


@route("/works-on")
async def works_on(scope: Scope, receive: Receive, send: Send) -> None:
    """Go on after the last message until the test has the whole response."""
    length = [(b"content-length", b"10")] if parameter(scope, "length") == "declared" else []
    async with wire_of(scope) as wire:
        await start(send, 200, *length)
        await chunk(send, b"hello")
        await chunk(send, b"hello", last=True)
        await wire.wait_for("response is here")
        await wire.say("worked on")


@route("/endless")
async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Send until it fails."""
    async with wire_of(scope) as wire:
        try:
            await start(send)
            await chunk(send, b"first")
            await wire.wait_for("client left")
            while True:
                await chunk(send, b"x" * PIECE)
        except OSError:
            await wire.say("OSError")
            raise
        finally:
            await wire.say("finally")


@route("/watches")
async def watches(scope: Scope, receive: Receive, send: Send) -> None:
    """Send until receive() says that the client has gone, as frameworks without ``spec_version`` 2.4 do."""
    async with wire_of(scope) as wire, anyio.create_task_group() as tasks:

        async def stream() -> None:
            await start(send)
            await chunk(send, b"first")
            await wire.wait_for("client left")
            while True:
                try:
                    await chunk(send, b"x" * PIECE)
                except OSError:
                    await anyio.sleep_forever()

        try:
            tasks.start_soon(stream)
            message = await receive()
            while message["type"] == "http.request":
                message = await receive()
            await wire.say(message["type"])
            tasks.cancel_scope.cancel()
        finally:
            await wire.say("finally")


# ---- exchanges that run at the same time ----------------------------------------------------

_awaited: dict[str, anyio.Event] = {}


@route("/waits")
async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for the exchange at /wakes with the same key."""
    event = _awaited[parameter(scope, "key")] = anyio.Event()
    async with wire_of(scope) as wire:
        await wire.say("waiting")
    with anyio.fail_after(TIMEOUT):
        await event.wait()
    await respond(send, b"woken")


@route("/wakes")
async def wakes(scope: Scope, receive: Receive, send: Send) -> None:
    _awaited.pop(parameter(scope, "key")).set()
    await respond(send, b"woke")


_subscribed: dict[str, MemoryObjectSendStream[bytes]] = {}


@route("/events")
async def events(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream what is posted to /event with the same key, until an empty one comes."""
    key = parameter(scope, "key")
    _subscribed[key], posted = anyio.create_memory_object_stream[bytes](1)
    await start(send, 200, (b"content-type", b"text/event-stream"))
    await chunk(send, b"open ")
    async with _subscribed[key], posted:
        while message := await posted.receive():
            await chunk(send, message)
    del _subscribed[key]
    await chunk(send, b"", last=True)


@route("/event")
async def event(scope: Scope, receive: Receive, send: Send) -> None:
    await _subscribed[parameter(scope, "key")].send((await receive())["body"])
    await respond(send, b"posted")


# ---- applications that fail -----------------------------------------------------------------


@route("/fails-at-once")
async def fails_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("before the start")


@route("/fails-after-start")
async def fails_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    raise ValueError("before the first chunk")


@route("/returns-nothing")
async def returns_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Return without a response."""


@route("/breaks-off")
async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
    """Fail after the test has got the first chunk, so the headers are out for certain."""
    async with wire_of(scope) as wire:
        await start(send)
        await chunk(send, b"first")
        await wire.wait_for("fail")
    raise ValueError("after the first chunk")


@route("/breaks-off-with-length")
async def breaks_off_with_length(scope: Scope, receive: Receive, send: Send) -> None:
    async with wire_of(scope) as wire:
        await start(send, 200, (b"content-length", b"100"))
        await chunk(send, b"first")
        await wire.wait_for("fail")
    raise ValueError("after the first chunk")


@route("/ends-early")
async def ends_early(scope: Scope, receive: Receive, send: Send) -> None:
    """No error, but fewer bytes than declared, which shows only after the headers are out."""
    async with wire_of(scope) as wire:
        await start(send, 200, (b"content-length", b"100"))
        await chunk(send, b"first")
        await wire.wait_for("fail")
    await chunk(send, b"", last=True)


@route("/never-ends")
async def never_ends(scope: Scope, receive: Receive, send: Send) -> None:
    """Return without the last message."""
    async with wire_of(scope) as wire:
        await start(send, 200, (b"content-length", b"100"))
        await chunk(send, b"first")
        await wire.wait_for("fail")


@route("/too-short")
async def too_short(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-length", b"10"))
    await chunk(send, b"hello", last=True)


@route("/too-long")
async def too_long(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-length", b"5"))
    await chunk(send, b"hello world", last=True)


# ---- what the servers are given -------------------------------------------------------------


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the application at this path; ``report`` where there is none. Takes no part in the lifespan protocol."""
    if scope["type"] != "http":
        raise ValueError(f"this application has no {scope['type']}")
    await ROUTES.get(scope["path"].removeprefix(scope["root_path"]), report)(scope, receive, send)


def log(line: str) -> None:
    """Write a line into the server's log."""
    # In one piece, which print() does not promise: several processes write there.
    os.write(1, f"{line}\n".encode())


async def living(scope: Scope, receive: Receive, send: Send) -> None:
    """The same with startup and shutdown, which say in the log where they ran."""
    if scope["type"] != "lifespan":
        return await application(scope, receive, send)
    await receive()
    scope["state"]["started in"] = os.getpid()
    scope["state"]["requests"] = []
    log(f"started in {os.getpid()}")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    log(f"shut down in {os.getpid()}")
    await send({"type": "lifespan.shutdown.complete"})
    return None


async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that cannot start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


def nested(loop: Literal["request", "shared"]) -> bridge.AsgiToWsgi:
    """Wrap the application three times."""
    return bridge.AsgiToWsgi(bridge.WsgiToAsgi(bridge.AsgiToWsgi(application, loop=loop)), loop=loop)


ADAPTERS = {
    "request": bridge.AsgiToWsgi(application, loop="request"),
    "shared": bridge.AsgiToWsgi(application, loop="shared"),
    "trio-request": bridge.AsgiToWsgi(application, loop="request", backend="trio"),
    "trio-shared": bridge.AsgiToWsgi(application, loop="shared", backend="trio"),
    "living": bridge.AsgiToWsgi(living),
    "living-request": bridge.AsgiToWsgi(living, loop="request", lifespan="on"),
    "living-trio": bridge.AsgiToWsgi(living, backend="trio"),
    "refusing": bridge.AsgiToWsgi(refusing),
    "uvloop-request": bridge.AsgiToWsgi(application, loop="request", loop_factory=uvloop.new_event_loop),
    "uvloop-shared": bridge.AsgiToWsgi(application, loop="shared", loop_factory=uvloop.new_event_loop),
    "nested-request": nested("request"),
    "nested-shared": nested("shared"),
}

unmounted = bridge.AsgiToWsgi(application)


def served(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Mount each adapter below its name; nothing else is mounted."""
    name = environ["PATH_INFO"].split("/")[1]
    adapter = ADAPTERS.get(name)
    if adapter is None:
        return unmounted(environ, start_response)
    environ["SCRIPT_NAME"] += "/" + name
    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/" + name)
    return adapter(environ, start_response)
