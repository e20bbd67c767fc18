"""Event streams and long polls of bridge (docs/events.md): what is awaited arrives, ends, and holds no thread.

The iterables are held by their wires, so nothing here looks at a clock.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from compat_matrix.checks.observe import asked
from compat_matrix.checks.registry import Failed, NotApplicable, contract, expect, oracle
from compat_matrix.checks.streaming import begin, followed, greeting, hear
from compat_matrix.client import Incoming, RawClient
from compat_matrix.site import Site, head
from compat_matrix.wire import Wire

AT_ONCE = 50  # streams; bridge has 40 worker threads where nothing else is said, others have as many or fewer

_NEEDS = ("long-lived",)
_STREAMS = 'PEP 3333, "Buffering and Streaming"; ASGI HTTP, "Response Body - send event"'
_PARSING = 'HTML, 9.2.5 "Parsing an event stream"'
_BOUNDARIES = 'PEP 3333, "Middleware Handling of Block Boundaries" (an empty chunk: nothing yet)'
_LEFT = 'PEP 3333, "Specification Details" (close()); ASGI HTTP, "Disconnect - receive event"'

# What the fields of the events in apps/long_lived.py come to: HTML, 9.2.5. Two lines of data are two fields.
_FIRST = {"event: tick", "id: 1", "retry: 1500", "data: one", "data: more"}
_SECOND = {"id: 2", "data: two"}
_THIRD = {"data: three"}


@contract("stream.plain", "RFC 9110, 15.3.1", needs=_NEEDS)
def plain(site: Site) -> None:
    """A plain view of an application that has event streams answers as any."""
    response = site.get("/")
    expect("status and body", (response.status, response.body), (200, greeting(site)))


@oracle("stream.events", _STREAMS, needs=_NEEDS)
def events(site: Site) -> Any:
    """An event stream has the status, the headers and the bytes that it has at home."""
    return asked(site, "GET", "/long/events")


@contract("stream.events.fields", _PARSING, needs=_NEEDS)
def fields(site: Site) -> None:
    """Event, id, retry and several lines of data of an event are fields of their own; an empty line ends it."""
    response = site.get("/long/events")
    expect("status", response.status, 200)
    expect("Content-Type", response.all("content-type")[0].partition(";")[0], "text/event-stream")
    *came, rest = response.body.decode().split("\n\n")
    expect("events", [sorted(event.split("\n")) for event in came], [sorted(_FIRST), sorted(_SECOND), sorted(_THIRD)])
    first = came[0].split("\n")
    expect("the second line after the first", first.index("data: more") > first.index("data: one"), True)
    expect("what follows the last event", rest, "")


@contract("stream.events.one_by_one", f"{_STREAMS}; {_BOUNDARIES}", needs=_NEEDS)
def one_by_one(site: Site) -> None:
    """Each event arrives while the iterable waits before the next."""
    with site.wire() as wire, site.connect() as client:
        incoming = _first(site, client, wire)
        wire.tell("go on")
        _event(site, incoming, b"data: two\n\n")
        wire.tell("go on")
        _event(site, incoming, b"data: three\n\n")


@contract("stream.complete", f"{_STREAMS}; RFC 9112, 7.1", needs=_NEEDS)
def complete(site: Site) -> None:
    """An iterable that ends has tidied up, its stream ends complete, and the connection can go on."""
    with site.wire() as wire, site.connect() as client:
        incoming = _first(site, client, wire)
        wire.tell("go on\ngo on")
        expect("the rest", incoming.rest(), b"id: 2\ndata: two\n\ndata: three\n\n")
        expect("complete", incoming.response.complete, True)
        hear(site, wire, "finally")
        followed(site, client, incoming)


@contract("stream.failure", "RFC 9112, 8", needs=_NEEDS, frames_body=True, cuts_failed_response=True)
def failure(site: Site) -> None:
    """A stream whose iterable fails after its first event never looks complete to the client, and ends."""
    with site.wire() as wire, site.connect() as client:
        client.get(f"/long/fails?wire={wire.port}")
        incoming = begin(site, client)
        _event(site, incoming, b"data: more\n\n")
        wire.tell("fail")
        expect("the rest", incoming.rest(), b"")
        expect("complete", incoming.response.complete, False)
    expect("the next response", site.get("/").body, greeting(site))


@contract("stream.held", _BOUNDARIES, needs=_NEEDS)
def held(site: Site) -> None:
    """More streams are open than there are threads, and a plain view is answered meanwhile."""
    _behind_an_adapter(site, "a WSGI server needs a thread for each stream")
    with ExitStack() as stack:
        wires: list[Wire] = []
        for number in range(AT_ONCE):
            wire = stack.enter_context(site.wire())
            client = stack.enter_context(site.connect())
            client.get(f"/long/events?wire={wire.port}")
            wires.append(wire)
            try:
                hear(site, wire, "called")
                _event(site, begin(site, client), b"data: more\n\n")
            except Failed as error:
                raise Failed(f"{number} of {AT_ONCE} streams are open; the next: {error}") from None
        try:
            answer = site.get("/")
        except TimeoutError:
            raise Failed(f"no answer to GET / within {site.timeout:g} s while streams are open") from None
        expect("body", answer.body, greeting(site))


@contract("stream.left", _LEFT, needs=_NEEDS)
def left(site: Site) -> None:
    """When the client leaves, an iterable that waits is cancelled there: no further chunk has to show it."""
    _behind_an_adapter(site, "a WSGI server notices at the next chunk")
    with site.wire() as wire:
        with site.connect() as client:
            _first(site, client, wire)
        hear(site, wire, "finally")
    expect("the next response", site.get("/").body, greeting(site))


@contract("stream.wait", f"{_STREAMS}; {_BOUNDARIES}", needs=_NEEDS)
def wait(site: Site) -> None:
    """A long poll is answered when its result is known, and the connection can go on."""
    with site.wire() as wire, site.connect() as client:
        client.get(f"/long/wait?wire={wire.port}")
        hear(site, wire, "called")
        wire.tell("go on")
        hear(site, wire, "finally")
        incoming = begin(site, client)
        expect("body", incoming.rest(), "caf\xe9".encode())
        expect("complete", incoming.response.complete, True)
        followed(site, client, incoming)


@contract("stream.wait.over", "RFC 9110, 15.3.5", needs=_NEEDS)
def wait_over(site: Site) -> None:
    """A long poll whose time is over before there is a result is answered 204, without a body."""
    _behind_an_adapter(site, "the head of a WSGI response without a body is the view's")
    response = site.get("/long/wait/over")
    expect("body", response.body, b"")
    expect("status", response.status, 204)


@contract("stream.wait.failure", 'PEP 3333, "Error Handling"; RFC 9110, 15.6.1', needs=_NEEDS, answers_failure=True)
def wait_failure(site: Site) -> None:
    """A long poll whose awaitable fails is answered with 500."""
    expect("status", site.get("/long/wait/fails").status, 500)
    expect("the next response", site.get("/").body, greeting(site))


@contract("stream.wait.left", _LEFT, needs=_NEEDS)
def wait_left(site: Site) -> None:
    """When the client leaves a long poll, the awaitable is cancelled."""
    _behind_an_adapter(site, "a WSGI server notices when it has something to send")
    with site.wire() as wire:
        with site.connect() as client:
            client.get(f"/long/wait?wire={wire.port}")
            hear(site, wire, "called")
        hear(site, wire, "finally")


@contract("stream.head", "RFC 9110, 9.3.2", needs=_NEEDS, ends_head=True, sends_bare_head=True)
def of_head(site: Site) -> None:
    """HEAD of a long poll is answered although there is no result, and leaves nothing running."""
    _behind_an_adapter(site, "frameworks differ in whether they leave a body of HEAD to the server")
    with site.wire() as wire, site.connect() as client:
        client.send(head("HEAD", f"/long/wait?wire={wire.port}"))
        incoming = begin(site, client, "HEAD")
        if wire.called():
            hear(site, wire, "called", "finally")
        followed(site, client, incoming)


def _behind_an_adapter(site: Site, otherwise: str) -> None:
    """Ask no more of a server that runs the application natively; *otherwise* says why."""
    if not site.bridged:
        raise NotApplicable(otherwise)


def _first(site: Site, client: RawClient, wire: Wire) -> Incoming:
    """Ask for an event stream; return with its first event taken, while the iterable waits before its second."""
    client.get(f"/long/events?wire={wire.port}", "Accept: text/event-stream")
    hear(site, wire, "called")
    incoming = begin(site, client)
    _event(site, incoming, b"data: more\n\n")
    return incoming


def _event(site: Site, incoming: Incoming, end: bytes) -> None:
    """Wait for an event, which ends with these bytes."""
    try:
        incoming.read_until(end)
    except TimeoutError:
        raise Failed(f"no event within {site.timeout:g} s while the iterable waited") from None
