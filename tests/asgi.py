"""The server's side of ASGI, played by a test. Speaks the protocol, refuses what breaks it; knows no bridge."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import uvloop

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
Application: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

TIMEOUT = 10.0  # seconds that any wait of a test takes at most

# asyncio says that its loop was blocked after this many seconds. Long enough for a machine that has other
# work, short against every wait of a test.
_BLOCKED = 0.5


def _asyncio_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.slow_callback_duration = _BLOCKED
    return loop


def _uvloop_loop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    loop.slow_callback_duration = _BLOCKED
    return loop


ASYNCIO = [
    pytest.param(("asyncio", {"debug": True, "loop_factory": _asyncio_loop}), id="asyncio"),
    pytest.param(("asyncio", {"debug": True, "loop_factory": _uvloop_loop}), id="uvloop"),
]
EVENT_LOOPS = [*ASYNCIO, pytest.param(("trio", {}), id="trio")]

# For what only asyncio has: every other asynchronous test runs on all of EVENT_LOOPS.
on_asyncio = pytest.mark.parametrize("anyio_backend", ASYNCIO, indirect=True)
on_trio = pytest.mark.parametrize("anyio_backend", EVENT_LOOPS[-1:], indirect=True)


def http_scope(
    method: str = "GET",
    path: str = "/",
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    http_version: str = "1.1",
    **rest: Any,
) -> Scope:
    """Build the scope of a request without a body, as Uvicorn has it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": http_version,
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver"), *headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        **rest,
    }


def upload_scope(length: int | None, *, headers: Iterable[tuple[bytes, bytes]] = (), **rest: Any) -> Scope:
    """Build the scope of a POST with *length* bytes of body; None: chunked, without a length."""
    framing = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    return http_scope("POST", headers=[framing, *headers], **rest)


def request_messages(*chunks: bytes) -> list[Message]:
    """Build the messages of a request body, the last of them marked as the last."""
    return [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
        for number, chunk in enumerate(chunks, 1)
    ]


async def empty_receive() -> Message:
    """Be the receive() of a client that sent its whole request and stays."""
    await anyio.sleep_forever()
    raise AssertionError("unreachable")


class FakeServer:
    """One HTTP request as a server has it.

    receive() gives the messages it was fed, waits while there are none, and says http.disconnect when
    the client has left or the response is complete. send() takes what the protocol allows here, and
    waits while the client is held.
    """

    def __init__(self, *messages: Message) -> None:
        self.sent: list[Message] = []
        self.receives = 0  # calls of receive()
        self.sends = 0  # calls of send(), those that wait included
        self.told_disconnect = False  # receive() has said http.disconnect
        self.complete = False
        self.ended = anyio.Event()  # the application's coroutine
        self.on_sent: Callable[[Message], object] | None = None  # called with each message that was taken
        self._fed = deque(messages)
        self._gone = False
        self._sending = False
        self._changed = anyio.Event()
        self._free = anyio.Event()
        self._free.set()
        self._send_error: BaseException | None = None
        self._send_error_after = 0
        self._receive_error: BaseException | None = None
        self._cancelled = anyio.CancelScope()

    # -- what the application is given ------------------------------------------------------------------------

    async def receive(self) -> Message:
        self.receives += 1
        self._change()
        await anyio.lowlevel.checkpoint()
        while True:
            if self._fed:
                return self._fed.popleft()
            if self._receive_error is not None:
                raise self._receive_error
            if self._gone or self.complete:
                self.told_disconnect = True
                self._change()
                return {"type": "http.disconnect"}
            await self._changed.wait()

    async def send(self, message: Message) -> None:
        assert not self._sending, "send() was called while another send() was under way"
        self._check(message)
        self._sending = True
        try:
            self.sends += 1
            self._change()
            await self._free.wait()
            await anyio.lowlevel.checkpoint()
        finally:
            self._sending = False
        if self._send_error is not None and len(self.sent) >= self._send_error_after:
            raise self._send_error
        self.sent.append(message)
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        self._change()
        if self.on_sent is not None:
            self.on_sent(message)

    def _check(self, message: Message) -> None:
        """Refuse what the ASGI HTTP specification, "Response Start" and "Response Body", does not allow."""
        if not self.sent:
            assert message["type"] == "http.response.start", f"the first message is {message!r}"
            assert isinstance(message["status"], int)
            for name, value in message["headers"]:
                assert type(name) is bytes, f"the header name {name!r}"
                assert type(value) is bytes, f"the header value {value!r}"
                assert name == name.lower(), f"the header name {name!r}"
        else:
            assert message["type"] == "http.response.body", f"after the start comes {message!r}"
            assert not self.complete, f"after the last message comes {message!r}"
            assert isinstance(message.get("body", b""), bytes)

    # -- what the test does -----------------------------------------------------------------------------------

    def feed(self, *messages: Message) -> None:
        """Let receive() give *messages*."""
        self._fed.extend(messages)
        self._change()

    def disconnect(self) -> None:
        """Let the client leave."""
        self._gone = True
        self._change()

    def hold(self) -> None:
        """Let send() wait: the client takes nothing."""
        self._free = anyio.Event()

    def release(self) -> None:
        """Let the client take what is sent, from now on."""
        self._free.set()

    def fail_send(self, error: BaseException, *, after: int = 0) -> None:
        """Let send() raise *error* once *after* messages are taken."""
        self._send_error = error
        self._send_error_after = after

    def fail_receive(self, error: BaseException) -> None:
        """Let receive() raise *error* after the messages it was fed."""
        self._receive_error = error
        self._change()

    def cancel(self) -> None:
        """Cancel the application's coroutine."""
        self._cancelled.cancel()

    async def serve(self, application: AsgiApplication, scope: Scope | None = None) -> FakeServer:
        """Call the application and return when its coroutine has ended; what it raises is raised."""
        with anyio.fail_after(TIMEOUT):
            await application(scope or http_scope(), self.receive, self.send)
        return self

    @asynccontextmanager
    async def serving(self, application: AsgiApplication, scope: Scope | None = None) -> AsyncIterator[None]:
        """Call the application beside the block, whose end waits for it; what it raises is raised there."""
        errors: list[Exception] = []  # kept from the task group, which would make a group of them

        async def call() -> None:
            with self._cancelled:
                try:
                    await application(scope or http_scope(), self.receive, self.send)
                except Exception as error:
                    errors.append(error)
            self.ended.set()
            self._change()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            try:
                with anyio.fail_after(TIMEOUT):
                    yield
                    await self.ended.wait()
            except Exception as error:
                errors.insert(0, error)
                tasks.cancel_scope.cancel()
        if errors:
            raise errors[0]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until *condition* is true; it is looked at whenever something happened here."""
        with anyio.fail_after(TIMEOUT):
            while not condition():
                await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    # -- what the client got ----------------------------------------------------------------------------------

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return list(self.sent[0]["headers"])

    def header(self, name: bytes) -> list[bytes]:
        """The values of each header *name*."""
        return [value for key, value in self.headers if key == name]

    @property
    def pieces(self) -> list[bytes]:
        """The body of each message, empty ones left out."""
        return [message["body"] for message in self.sent[1:] if message.get("body")]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


async def serve(application: AsgiApplication, scope: Scope | None = None, *messages: Message) -> FakeServer:
    """Serve one request to its end, with the *messages* of its body."""
    return await FakeServer(*messages).serve(application, scope)


class FakeLifespan:
    """The lifespan of a server: startup, then shutdown when the test asks for it."""

    def __init__(self) -> None:
        self.sent: list[str] = []  # types of messages
        self.asked_shutdown = False
        self._changed = anyio.Event()

    async def receive(self) -> Message:
        if not self.sent:
            return {"type": "lifespan.startup"}
        while not self.asked_shutdown:
            await self._changed.wait()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        self.sent.append(message["type"])
        self._change()

    def shut_down(self) -> None:
        """Let receive() give lifespan.shutdown."""
        self.asked_shutdown = True
        self._change()

    @asynccontextmanager
    async def running(self, application: AsgiApplication) -> AsyncIterator[None]:
        """Run the lifespan beside the block: started when it is entered, shut down when it is left."""
        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        errors: list[Exception] = []

        async def call() -> None:
            await application(scope, self.receive, self.send)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            try:
                with anyio.fail_after(TIMEOUT):
                    while not self.sent:
                        await self._changed.wait()
                    yield
                    self.shut_down()
                    while len(self.sent) < 2:
                        await self._changed.wait()
            except Exception as error:
                errors.append(error)
                tasks.cancel_scope.cancel()
        if errors:
            raise errors[0]

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


async def happened(event: threading.Event) -> None:
    """Wait, on the event loop and without blocking it, for what a thread does."""
    assert await anyio.to_thread.run_sync(event.wait, TIMEOUT), "a thread did not do what the test waits for"


def wait(event: threading.Event) -> None:
    """Wait in a worker thread for what the test does."""
    assert event.wait(TIMEOUT), "the test did not do what a worker thread waits for"


def bridge_threads(name: Literal["bridge-", "bridge-worker-"] = "bridge-") -> list[threading.Thread]:
    """The living threads that the bridge made."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]
