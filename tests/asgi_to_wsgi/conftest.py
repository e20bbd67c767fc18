"""A server on every kind of event loop that an exchange of AsgiToWsgi runs on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bridge import AsgiToWsgi
from tests.asgi import AsgiApplication
from tests.asgi_to_wsgi.kinds import KINDS, Kind, Serve
from tests.asgi_to_wsgi.server import Server, starved


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of loop the test runs on: each, unless the test is marked with fewer."""
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def serve(kind: Kind) -> Iterator[Serve]:
    """Make the server of an ASGI application, with options of AsgiToWsgi; it is shut down after the test."""
    adapters: list[AsgiToWsgi] = []
    starved.clear()

    def make(application: AsgiApplication, **options: Any) -> Server:
        adapter = AsgiToWsgi(application, **{"lifespan": "off", **kind.options, **options})
        adapters.append(adapter)
        return Server(adapter, in_loop=kind.in_loop)

    yield make
    for adapter in adapters:
        adapter.close()
    assert starved == [], "a read waited for what the test did not do"
