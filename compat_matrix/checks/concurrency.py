"""Requests at the same time: none waits for another, and none sees what is another's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from compat_matrix.checks.answers import needs_contexts
from compat_matrix.checks.registry import Failed, contract, expect
from compat_matrix.checks.streaming import begin, greeting, hear
from compat_matrix.client import RawClient
from compat_matrix.site import Site, head
from compat_matrix.wire import Wire

AT_ONCE = 5  # requests
_THREADS = 'PEP 3333, "Thread Support" (wsgi.multithread)'
_CONNECTIONS = 'ASGI, "Applications": one call for each connection'


@contract("concurrency.blocking", _THREADS, concurrent=True)
def blocking(site: Site) -> None:
    """Plain views that block run at the same time: all have begun before any may answer."""
    with _lines(site) as (wires, clients):
        for wire, client in zip(wires, clients, strict=True):
            client.get(f"/blocking?wire={wire.port}")
        for wire in wires:
            hear(site, wire, "running")
        for wire in wires:
            wire.tell("go on")
        bodies = [begin(site, client).rest() for client in clients]
    expect("bodies", bodies, [b"blocked"] * AT_ONCE)


@contract("concurrency.streams", f"{_THREADS}; {_CONNECTIONS}", concurrent=True)
def streams(site: Site) -> None:
    """Streams run at the same time, and the chunks of each go to the client that has asked for it."""
    with _lines(site) as (wires, clients):
        for wire, client in zip(wires, clients, strict=True):
            client.get(f"/stream?wire={wire.port}")
        for wire in wires:
            hear(site, wire, "called")
        # The last first: whoever serves one after another cannot do that.
        for wire, client in reversed(list(zip(wires, clients, strict=True))):
            incoming = begin(site, client)
            expect("first", incoming.read_until(b"first\n"), b"first\n")
            wire.tell("go on\ngo on")
            expect("the rest", incoming.rest(), b"second\nthird\n")
            hear(site, wire, "finally")


@contract("concurrency.others", f"{_THREADS}; {_CONNECTIONS}", concurrent=True)
def others(site: Site) -> None:
    """A view that blocks holds up no other request."""
    with site.wire() as wire, site.connect() as client:
        client.get(f"/blocking?wire={wire.port}")
        hear(site, wire, "running")
        for _ in range(AT_ONCE):
            _answers(site, "while a view blocks")
        wire.tell("go on")
        expect("body", begin(site, client).rest(), b"blocked")


@contract("concurrency.uploads", f"{_THREADS}; {_CONNECTIONS}", concurrent=True)
def uploads(site: Site) -> None:
    """Uploads that come slowly hold up no other request, and are whole in the end."""
    with ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(AT_ONCE)]
        for client in clients:
            client.send(head("POST", "/upload", length=200_001) + b"x" * 200_000)
        for _ in range(AT_ONCE):
            _answers(site, "while uploads are under way")
        for client in clients:
            client.send(b"x")
        sizes = [client.read_response().json()["size"] for client in clients]
    expect("sizes", sizes, [200_001] * AT_ONCE)


_CONTEXTS = 'PEP 567, "Rationale": each logical thread of execution has its own context'


@contract("concurrency.contexts", _CONTEXTS, needs=("context",), concurrent=True)
def contexts(site: Site) -> None:
    """A context variable that a request sets is not seen by those that run at the same time."""
    needs_contexts(site)
    with ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(AT_ONCE)]
        for number, client in enumerate(clients):
            client.get(f"/context?value={number}")
        seen = [client.read_response().json() for client in clients]
    _own_contexts(seen)


@contract("concurrency.contexts.later", _CONTEXTS, needs=("context",))
def contexts_later(site: Site) -> None:
    """A context variable that a request sets is not seen by those that come later."""
    needs_contexts(site)
    _own_contexts([site.get(f"/context?value={number}").json() for number in range(AT_ONCE)])


def _own_contexts(seen: list[Any]) -> None:
    expect("context variables", seen, [{"before": "unset", "after": str(number)} for number in range(AT_ONCE)])


@contextmanager
def _lines(site: Site) -> Iterator[tuple[list[Wire], list[RawClient]]]:
    with ExitStack() as stack:
        wires = [stack.enter_context(site.wire()) for _ in range(AT_ONCE)]
        yield wires, [stack.enter_context(site.connect()) for _ in wires]


def _answers(site: Site, when: str) -> None:
    try:
        response = site.get("/")
    except TimeoutError:
        raise Failed(f"no answer to GET / within {site.timeout:g} s {when}") from None
    expect("body", response.body, greeting(site))
