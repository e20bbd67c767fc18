"""Before the first request and after a response: startup and background tasks."""

from __future__ import annotations

from compat_matrix.checks.registry import Failed, contract, expect
from compat_matrix.checks.streaming import greeting, hear
from compat_matrix.client import RawClient
from compat_matrix.site import Site
from compat_matrix.wire import Wire

_STARTUP = 'ASGI lifespan, "Startup - receive event"'
_AFTER = 'ASGI HTTP, "Response Body - send event" (more_body); RFC 9112, 6.3'


@contract("lifespan.startup", _STARTUP, needs=("lifespan",))
def startup(site: Site) -> None:
    """Startup has run before the first request, and in the process that serves it."""
    seen = site.get("/lifespan").json()
    expect("started", seen["started"], True)
    expect("process of the startup", seen["process"], seen["here"])


@contract("background.after", _AFTER, needs=("background",))
def after(site: Site) -> None:
    """A background task runs once its response is complete for the client, who does not wait for it."""
    with site.wire() as wire, site.connect() as client:
        _accepted(site, client, wire)
        wire.tell("go on")
        hear(site, wire, "done")
    expect("the next response", site.get("/").body, greeting(site))


@contract("background.left", _AFTER, needs=("background",))
def left(site: Site) -> None:
    """A background task goes on when the client has its response and leaves."""
    with site.wire() as wire:
        with site.connect() as client:
            _accepted(site, client, wire)
        wire.tell("go on")
        hear(site, wire, "done")


@contract("background.others", _AFTER, needs=("background",), concurrent=True)
def others(site: Site) -> None:
    """A background task holds up no other request."""
    with site.wire() as wire, site.connect() as client:
        _accepted(site, client, wire)
        expect("another response", site.get("/").body, greeting(site))
        wire.tell("go on")
        hear(site, wire, "done")


def _accepted(site: Site, client: RawClient, wire: Wire) -> None:
    client.get(f"/background?wire={wire.port}")
    try:
        response = client.read_response()
    except TimeoutError:
        raise Failed(f"the response was not complete within {site.timeout:g} s, while the task waits") from None
    expect("response", (response.status, response.body, response.complete), (200, b"accepted", True))
    hear(site, wire, "running")
