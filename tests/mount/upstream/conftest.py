"""The application that mounts others, as a test sees it on the server that its module starts."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from compat_matrix.servers import RunningServer
from tests.server_logs import LEFT_BEHIND, SERVER, ended_in_order, pytest_runtest_makereport

# A fixture and a hook of this folder.
__all__ = ["ended_in_order", "pytest_runtest_makereport"]


@pytest.fixture
def server(request: pytest.FixtureRequest, running_server: RunningServer) -> Iterator[RunningServer]:
    """The module's server; the test must leave nothing behind in it."""
    request.node.stash[SERVER] = running_server
    before = len(running_server.log())
    yield running_server
    assert not LEFT_BEHIND.findall(running_server.log()[before:])


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=10.0, trust_env=False) as made:
        yield made
