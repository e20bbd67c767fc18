"""What holds for every test: three event loops, nothing left behind, nothing said that was not expected."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from asyncio import constants
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.wsgi_to_asgi.workers import _all as all_workers
from tests.asgi import EVENT_LOOPS

_JOIN_TIMEOUT = 5.0  # seconds


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that provokes races."""
    parser.addoption(
        "--switch-interval",
        type=float,
        metavar="SECONDS",
        help="how often threads are switched, see sys.setswitchinterval",
    )


def pytest_configure(config: pytest.Config) -> None:
    interval = config.getoption("--switch-interval")
    if interval is not None:
        sys.setswitchinterval(interval)
    # asyncio's debug mode notes for each handle and future where it was made, ten calls deep. That took as long as the
    # exchanges of which it is noted; the innermost two are enough to find the place.
    constants.__dict__["DEBUG_STACK_DEPTH"] = 2


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    gc.unfreeze()  # plugins that report now ask the collector for referrers, which it hides while frozen


def pytest_fixture_post_finalizer(fixturedef: pytest.FixtureDef[Any]) -> None:
    if fixturedef.scope != "function":
        # What it has lost in a cycle was there before its tests, and was frozen for them.
        gc.unfreeze()


@pytest.fixture(params=EVENT_LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run each asynchronous test on every event loop."""
    return request.param


class _Records(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def _quiet_event_loop() -> Iterator[None]:
    """Fail a test whose event loop was blocked, or lost a task or an exception: asyncio only logs it."""
    records = _Records(logging.WARNING)
    logger = logging.getLogger("asyncio")
    logger.addHandler(records)
    yield
    logger.removeHandler(records)
    assert [record.getMessage() for record in records.records] == []


@pytest.fixture
def bridge_log() -> Iterator[list[logging.LogRecord]]:
    """What the bridge logs during the test, which is then expected to log."""
    records = _Records(logging.DEBUG)
    logger = logging.getLogger("bridge")
    logger.addHandler(records)
    yield records.records
    logger.removeHandler(records)


@pytest.fixture(autouse=True)
def _quiet_bridge(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which the bridge logs, unless it asks for ``bridge_log`` or ``caplog``."""
    if not {"bridge_log", "caplog"}.isdisjoint(request.fixturenames):
        yield
        return
    records = _Records(logging.DEBUG)
    logger = logging.getLogger("bridge")
    logger.addHandler(records)
    yield
    logger.removeHandler(records)
    assert [record.getMessage() for record in records.records] == []


@pytest.fixture(autouse=True)
def _no_thread_left(_quiet_event_loop: None, _quiet_bridge: None) -> Iterator[None]:
    """Fail a test that leaves a thread of the bridge which does not end when it is told to."""
    # What is there before the test is frozen: the collection after it shall look at what the test has left and at
    # nothing else. Looking at all modules each time took longer than the tests. Collected first, since the fixtures
    # of the test before have ended after its collection.
    gc.collect()
    gc.freeze()
    before = set(threading.enumerate())
    yield
    gc.collect()  # what is lost says so here, and not in a later test
    # Not left to the collection: a thread that has just finished its exchange may still hold its adapter.
    for workers in list(all_workers):
        workers.close(_JOIN_TIMEOUT)
    threads = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("bridge-")]
    for thread in threads:
        thread.join(_JOIN_TIMEOUT)
    assert [thread.name for thread in threads if thread.is_alive()] == []
