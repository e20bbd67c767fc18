"""A server on every kind of event loop that an exchange of AsgiToWsgi runs on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import AsgiToWsgi
from tests.asgi import AsgiApplication
from tests.asgi_to_wsgi.kinds import KINDS, Kind, Serve
from tests.asgi_to_wsgi.server import Server, starved


@pytest.fixture(autouse=True)
def _patient_loops(_quiet_event_loop: None) -> Iterator[None]:
    """Let the adapter's loops be blocked: by imports, by applications that wait for each other, by a busy machine."""

    def patient(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Executing ")

    logger = logging.getLogger("asyncio")
    logger.addFilter(patient)
    yield
    logger.removeFilter(patient)


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
