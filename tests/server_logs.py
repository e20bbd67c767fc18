"""What the folders of tests on real servers share: a failure shows the server's log, and SIGTERM ends the servers."""

import re
import signal
from collections.abc import Generator, Iterator
from types import FrameType

import pytest

from compat_matrix.servers import RunningServer

# What CPython and asyncio write when something was left lying about.
LEFT_BEHIND = re.compile(
    r"Exception ignored|never awaited|never retrieved|Task was destroyed|ResourceWarning|RuntimeWarning"
)

SERVER = pytest.StashKey[RunningServer]()
"""The server of a test, in its item's stash."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of this folder."""
    config.addinivalue_line(
        "markers", "where(**facts): only for servers whose recipe has these facts (Recipe's attributes)"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the server wrote next to the failure."""
    report = yield
    if report.failed and SERVER in item.stash:
        report.sections.append(("log of the server", item.stash[SERVER].log()[-10_000:]))
    return report


@pytest.fixture(scope="session", autouse=True)
def ended_in_order() -> Iterator[None]:
    """End the servers when the test run is ended by SIGTERM: by default that skips every teardown."""

    def leave(number: int, frame: FrameType | None) -> None:
        pytest.exit(f"signal {number}")

    before = signal.signal(signal.SIGTERM, leave)
    yield
    signal.signal(signal.SIGTERM, before)
