"""Memory stays where it is, whoever is slow: bodies go through a server, they are not collected in it. Linux only.

When is an application *held*? When no thread of the server wants the processor any more, although the response is
endless: whoever still made chunks, or moved them, would be runnable. The kernel says so (``/proc/PID/task/TID/stat``),
however little time it gives the server, so a busy machine does not make a server look idle. A look is an instant, hence
several in a row.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from compat_matrix.apps.support import PIECE, pattern
from compat_matrix.checks.registry import Failed, contract, expect
from compat_matrix.checks.streaming import begin, digest, greeting, hear
from compat_matrix.site import Site, head

_MIB = 1_048_576
_BOUND = 32 * _MIB  # bytes that a server may grow by
_BODY = 64 * _MIB  # bytes; twice the bound, so that whoever keeps a body is seen
_RESUMED = 2 * _MIB  # bytes; several times what can lie between an application and such a client
_UNREAD = 4_096  # bytes that the kernel takes in for a client that does not read

_LOOKS = 15  # in a row that find no thread runnable
_BETWEEN_LOOKS = 0.01  # seconds
_HELD = (
    'PEP 3333, "Buffering and Streaming"; ASGI HTTP, "Response Body - send event" (send() returns once the '
    "message is handed over)"
)


@contract("backpressure.held", _HELD, holds_back=True)
def held(site: Site) -> None:
    """A client that reads nothing holds the application; memory does not grow."""
    with site.wire() as wire, site.connect(receive_buffer=_UNREAD) as client:
        before = site.memory()
        client.get(f"/endless?wire={wire.port}")
        hear(site, wire, "called")
        still = comes_to_rest(site)
        grown = site.memory() - before
        if not still:
            raise Failed(
                f"nobody reads, and after {site.timeout:g} s the server still works on an endless response; "
                f"it has grown by {grown // _MIB} MiB"
            )
        expect_bounded(grown)
        client.reset()
        hear(site, wire, "finally")
    expect("the next response", site.get("/").body, greeting(site))


@contract("backpressure.resumed", _HELD)
def resumed(site: Site) -> None:
    """An application that was held goes on when the client reads on, and its body is whole."""
    with site.connect(receive_buffer=_UNREAD) as client:
        client.get(f"/download?size={_RESUMED}")
        incoming = begin(site, client)
        comes_to_rest(site)  # held, or done where there is room for all of it
        try:
            whole = digest(incoming.pieces)
        except TimeoutError:
            raise Failed(f"the body did not go on within {site.timeout:g} s") from None
        expect("size and SHA-256", whole, digest(pattern(_RESUMED)))
        expect("complete", incoming.response.complete, True)


@contract("backpressure.download", _HELD, holds_back=True)
def download(site: Site) -> None:
    """A download of 64 MiB goes through the server without being collected there."""
    most = before = site.memory()

    def watched(pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal most
        size = seen = 0
        for piece in pieces:
            yield piece
            size += len(piece)
            if size - seen >= _BODY // 16:
                seen = size
                most = max(most, site.memory())

    with site.connect() as client:
        client.get(f"/download?size={_BODY}")
        incoming = begin(site, client)
        expect("size and SHA-256", digest(watched(incoming.pieces)), digest(pattern(_BODY)))
        expect("complete", incoming.response.complete, True)
    expect_bounded(most - before)


@contract(
    "backpressure.upload",
    'PEP 3333, "Input and Error Streams"; ASGI HTTP, "Request - receive event"',
    body_in_memory=False,
)
def upload(site: Site) -> None:
    """An upload of 64 MiB goes to an application that reads it as a stream without being collected in memory."""
    most = before = site.memory()
    with site.connect() as client:
        client.send(head("POST", "/upload", length=_BODY))
        for number, piece in enumerate(pattern(_BODY)):
            client.send(piece)
            if number % (_BODY // PIECE // 16) == 0:
                most = max(most, site.memory())
        response = client.read_response()
        most = max(most, site.memory())
        size, sha256 = digest(pattern(_BODY))
        expect("what the application has read", response.json(), {"size": size, "sha256": sha256})
    expect_bounded(most - before)


def expect_bounded(grown: int) -> None:
    """Raise ``Failed`` if a server has grown by more bytes than it may."""
    if grown > _BOUND:
        raise Failed(f"the server has grown by {grown // _MIB} MiB; up to {_BOUND // _MIB} MiB are allowed")


def comes_to_rest(site: Site) -> bool:
    """Wait until every thread of the server waits for something; false if that does not come to be."""
    tasks = [Path("/proc", str(pid), "task") for pid in _processes(site.running.process.pid)]
    deadline = time.monotonic() + site.timeout
    never = Event()
    looks = 0
    while looks < _LOOKS:
        if time.monotonic() > deadline:
            return False
        # Nothing can tell when a process will wait: a look is all there is.
        never.wait(_BETWEEN_LOOKS)
        looks = 0 if any(_runnable(task) for task in tasks) else looks + 1
    return True


def _processes(group: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == group:
                    yield int(entry.name)
            except ProcessLookupError:
                continue  # ended meanwhile


def _runnable(tasks: Path) -> bool:
    """Whether any thread of a process runs, or would if it got a processor."""
    try:
        for thread in tasks.iterdir():
            # After the name of the thread, which is in parentheses and may have any in it.
            if (thread / "stat").read_text().rpartition(")")[2].split()[0] == "R":
                return True
    except (FileNotFoundError, ProcessLookupError):
        return False  # ended meanwhile
    return False
