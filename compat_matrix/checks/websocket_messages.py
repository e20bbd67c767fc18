"""Messages through a WebSocket: whole, in order, in both directions, and beside everything else."""

from __future__ import annotations

from contextlib import ExitStack

from compat_matrix.apps.support import pattern
from compat_matrix.checks.backpressure import comes_to_rest, expect_bounded
from compat_matrix.checks.concurrency import AT_ONCE
from compat_matrix.checks.registry import Failed, NotApplicable, contract, expect
from compat_matrix.checks.streaming import greeting, hear
from compat_matrix.checks.websocket_opening import opened
from compat_matrix.site import Site
from compat_matrix.websocket_client import CONTINUATION, PING, PONG, TEXT, Frame, WebSocketClient

_MESSAGES = 'RFC 6455, 5.6 and 6; ASGI WebSocket, "Receive - receive event" and "Send - send event"'
_LARGE = 1_048_576  # bytes
_MANY = 1_000  # messages
_UNREAD = 4_096  # bytes that the kernel takes in for a client that does not read


def echoed(site: Site, websocket: WebSocketClient, *messages: str | bytes) -> None:
    """Say each message once the one before has come back as it was."""
    for message in messages:
        websocket.say(message)
        try:
            expect("what comes back", websocket.hear(), message)
        except TimeoutError:
            raise Failed(f"a message of {len(message)} did not come back within {site.timeout:g} s") from None


@contract("websocket.text", _MESSAGES, needs=("websocket",), hands_out_socket=True)
def text(site: Site) -> None:
    """Text comes back as text, whatever its characters."""
    with opened(site, "/ws/echo") as websocket:
        echoed(site, websocket, "hello", "caf\xe9 \u20ac \U0001f40d", "\x00\n", "x" * 126, "\xe9" * 40_000)


@contract("websocket.binary", _MESSAGES, needs=("websocket",), hands_out_socket=True)
def binary(site: Site) -> None:
    """Binary messages come back as binary, whatever their bytes."""
    with opened(site, "/ws/echo") as websocket:
        echoed(site, websocket, b"hello", bytes(range(256)), b"\xff" * 70_000)


@contract(
    "websocket.empty", "RFC 6455, 5.2 and 5.6", needs=("websocket",), hands_out_socket=True, sends_empty_messages=True
)
def empty(site: Site) -> None:
    """Empty messages come back, each as what it was."""
    with opened(site, "/ws/echo") as websocket:
        echoed(site, websocket, "", b"", "after")


@contract("websocket.large", _MESSAGES, needs=("websocket",), hands_out_socket=True)
def large(site: Site) -> None:
    """A message of just under 1 MiB comes back whole."""
    with opened(site, "/ws/echo") as websocket:
        echoed(site, websocket, b"".join(pattern(_LARGE - 1)))


@contract("websocket.order", _MESSAGES, needs=("websocket",), hands_out_socket=True)
def order(site: Site) -> None:
    """Of a thousand messages that are sent without waiting, each comes back once and in order."""
    with opened(site, "/ws/echo") as websocket:
        for number in range(_MANY):
            websocket.say(str(number))
        expect("messages", [websocket.hear() for _ in range(_MANY)], [str(number) for number in range(_MANY)])


@contract("websocket.fragments", "RFC 6455, 5.4 and 5.5", needs=("websocket",), hands_out_socket=True)
def fragments(site: Site) -> None:
    """A message in fragments, with a ping between them and a character that is cut in two, is one message."""
    with opened(site, "/ws/echo") as websocket:
        websocket.send(TEXT, b"caf\xc3", final=False)
        websocket.send(PING, b"between")
        expect("the next frame", websocket.read_frame(), Frame(PONG, b"between"))
        websocket.send(CONTINUATION, b"", final=False)
        websocket.send(CONTINUATION, b"\xa9!")
        expect("what comes back", websocket.hear(), "caf\xe9!")


@contract("websocket.ping", "RFC 6455, 5.5.2 and 5.5.3", needs=("websocket",), hands_out_socket=True)
def ping(site: Site) -> None:
    """A ping is answered by a pong with its content; a pong that nobody has asked for by nothing."""
    with opened(site, "/ws/echo") as websocket:
        for payload in (b"", b"\x00\xff" * 62):
            websocket.send(PONG, b"unasked")
            websocket.send(PING, payload)
            expect("the next frame", websocket.read_frame(), Frame(PONG, payload))
        echoed(site, websocket, "after")


@contract("websocket.deflate", "RFC 7692, 5 and 7; RFC 6455, 9.1", needs=("websocket",), hands_out_socket=True)
def deflate(site: Site) -> None:
    """A client that offers permessage-deflate is understood, whether it is agreed on or not."""
    with opened(site, "/ws/echo", deflate=True) as websocket:
        echoed(site, websocket, "again and " * 1_000, "again and " * 1_000, bytes(range(256)), "caf\xe9")


@contract(
    "websocket.held",
    'RFC 6455, 10.4; ASGI WebSocket, "Send - send event"',
    needs=("websocket",),
    hands_out_socket=True,
)
def held(site: Site) -> None:
    """A client that reads no messages holds the application; memory does not grow."""
    if site.recipe.interface == "asgi" and not site.recipe.holds_back:
        raise NotApplicable(f"{site.recipe.name}: holds_back is False there")
    before = site.memory()
    with site.wire() as wire, opened(site, f"/ws/endless?wire={wire.port}", receive_buffer=_UNREAD) as websocket:
        hear(site, wire, "called")
        still = comes_to_rest(site)
        grown = site.memory() - before
        if not still:
            raise Failed(f"nobody reads, and after {site.timeout:g} s the server still works on endless messages")
        expect_bounded(grown)
        websocket.raw.reset()
        hear(site, wire, "finally")
    expect("the next response", site.get("/").body, greeting(site))


_BESIDE = 'PEP 3333, "Thread Support"; ASGI, "Applications": one call for each connection'


@contract("websocket.beside", _BESIDE, needs=("websocket",), hands_out_socket=True, concurrent=True)
def beside(site: Site) -> None:
    """Requests are answered while a WebSocket is open, and hold up none of its messages."""
    with opened(site, "/ws/echo") as websocket:
        echoed(site, websocket, "one")
        for _ in range(AT_ONCE):
            expect("the next response", site.get("/").body, greeting(site))
        echoed(site, websocket, "two")


@contract("websocket.concurrent", _BESIDE, needs=("websocket",), hands_out_socket=True, concurrent=True)
def concurrent(site: Site) -> None:
    """WebSockets are open at the same time, and each has its own messages."""
    with ExitStack() as stack:
        websockets = [stack.enter_context(opened(site, "/ws/echo")) for _ in range(AT_ONCE)]
        for number, websocket in enumerate(websockets):
            websocket.say(str(number))
        # The last first: whoever serves one after another cannot do that.
        for number, websocket in reversed(list(enumerate(websockets))):
            expect("what comes back", websocket.hear(), str(number))
