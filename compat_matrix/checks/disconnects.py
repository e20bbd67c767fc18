"""Clients that leave, and responses that end: the application is told, and tidies up."""

from __future__ import annotations

from compat_matrix.checks.registry import contract, expect
from compat_matrix.checks.streaming import begin, followed, greeting, hear, stream
from compat_matrix.site import Site

_LEFT = 'PEP 3333, "Specification Details" (close()); ASGI HTTP, "Disconnect - receive event" and "Disconnected Client"'
_UNREAD = 4_096  # bytes that the kernel takes in for a client that does not read


@contract("close.complete", 'PEP 3333, "Specification Details" (close())')
def complete(site: Site) -> None:
    """Once a response is complete, its application is closed: the connection need not end for that."""
    with site.wire() as wire, site.connect() as client:
        incoming = stream(site, client, wire)
        wire.tell("go on\ngo on")
        expect("the rest", incoming.rest(), b"second\nthird\n")
        hear(site, wire, "finally")
        followed(site, client, incoming)


@contract("disconnect.stream", _LEFT)
def left_stream(site: Site) -> None:
    """When the client leaves in the middle of a stream, the application ends and tidies up."""
    with site.wire() as wire:
        with site.connect() as client:
            stream(site, client, wire)
        # Where only the next chunk shows that nobody takes it, there has to be one. One call: whoever was told
        # about the client has hung up meanwhile.
        wire.tell("go on\ngo on")
        hear(site, wire, "finally")
    expect("the next response", site.get("/").body, greeting(site))


@contract("disconnect.endless", _LEFT)
def left_endless(site: Site) -> None:
    """When the client leaves, an application that would send for ever is stopped."""
    with site.wire() as wire:
        with site.connect() as client:
            client.get(f"/endless?wire={wire.port}")
            hear(site, wire, "called")
            begin(site, client).read_until(b"tick\n")
        hear(site, wire, "finally")
    expect("the next response", site.get("/").body, greeting(site))


@contract("disconnect.reset", _LEFT)
def reset(site: Site) -> None:
    """A connection that is reset is a client that has left."""
    with site.wire() as wire:
        with site.connect() as client:
            client.get(f"/endless?wire={wire.port}")
            hear(site, wire, "called")
            begin(site, client).read_until(b"tick\n")
            client.reset()
        hear(site, wire, "finally")
    expect("the next response", site.get("/").body, greeting(site))


@contract("disconnect.unread", _LEFT)
def unread(site: Site) -> None:
    """A client that leaves without having read a byte is noticed, too."""
    with site.wire() as wire:
        with site.connect(receive_buffer=_UNREAD) as client:
            client.get(f"/endless?wire={wire.port}")
            hear(site, wire, "called")
        hear(site, wire, "finally")
    expect("the next response", site.get("/").body, greeting(site))
