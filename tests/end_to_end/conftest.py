"""Every end-to-end test runs once for each ASGI server and each HTTP version that it speaks."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import pytest

from compat_matrix.client import RawClient
from compat_matrix.servers import RECIPES, Recipe, RunningServer, start
from compat_matrix.wire import TIMEOUT, Wire
from tests.server_logs import LEFT_BEHIND, SERVER, ended_in_order, pytest_configure, pytest_runtest_makereport

from .known import KNOWN

# A fixture and hooks of this folder.
__all__ = ["ended_in_order", "pytest_configure", "pytest_runtest_makereport"]

ASGI_RECIPES = [recipe for recipe in RECIPES.values() if recipe.interface == "asgi"]

# Nothing here speaks TLS, and a context of its own would cost each client 20 ms.
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

RECEIVE_BUFFER = 32_768  # bytes; the kernel doubles it


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask for ``recipe`` to run on every server, for ``http_version`` too to run on every version."""
    if "recipe" not in metafunc.fixturenames:
        return
    facts = {
        name: value for marker in metafunc.definition.iter_markers("where") for name, value in marker.kwargs.items()
    }
    recipes = [
        recipe for recipe in ASGI_RECIPES if all(getattr(recipe, name) == value for name, value in facts.items())
    ]
    by_version = "http_version" in metafunc.fixturenames
    cases = []
    for recipe in recipes:
        for version in ("1.1", "2") if recipe.http2 and by_version else ("1.1",):
            known = KNOWN.get((metafunc.function.__name__, recipe.name, version if by_version else None))
            cases.append(
                pytest.param(
                    *((recipe, version) if by_version else (recipe,)),
                    id=recipe.name if version == "1.1" else f"{recipe.name}-h2",
                    marks=[pytest.mark.xfail(reason=known.reason, raises=known.raises, strict=True)] if known else [],
                )
            )
    metafunc.parametrize("recipe,http_version" if by_version else "recipe", cases)


class Servers:
    """Starts a server when it is first asked for; all of them run until the end of the session."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[tuple[str, str], RunningServer] = {}

    def get(self, recipe: Recipe, purpose: str) -> RunningServer:
        """Return the server; one process for each *purpose*."""
        if missing := recipe.missing():
            pytest.skip(missing)
        key = (recipe.name, purpose)
        # One that a test has brought down must not take all later ones with it.
        if key not in self._running or self._running[key].ended:
            self._running[key] = self._stack.enter_context(start_server(recipe))
        return self._running[key]

    def terminate(self) -> None:
        """Ask all of them to end, so that none has to be waited for alone."""
        for running in self._running.values():
            running.terminate()

    def killed(self) -> list[tuple[str, str]]:
        """Those that had to be killed."""
        return [key for key, running in self._running.items() if running.killed]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Every server that a test has asked for."""
    with ExitStack() as stack:
        started = Servers(stack)
        yield started
        started.terminate()
    assert not started.killed()


@pytest.fixture
def server(request: pytest.FixtureRequest, recipe: Recipe, servers: Servers) -> Iterator[RunningServer]:
    """The running server that all tests share."""
    yield from _watched(request, servers.get(recipe, "everything"))


@pytest.fixture
def cut_server(request: pytest.FixtureRequest, recipe: Recipe, servers: Servers) -> Iterator[RunningServer]:
    """A process only for tests in which a response breaks off: some servers do not recover from it."""
    yield from _watched(request, servers.get(recipe, "broken responses"))


@pytest.fixture
def own_server(request: pytest.FixtureRequest, recipe: Recipe) -> Iterator[RunningServer]:
    """A process for this test alone, which may stop it."""
    if missing := recipe.missing():
        pytest.skip(missing)
    with start_server(recipe) as running:
        yield from _watched(request, running)


@pytest.fixture
def mounted_server(request: pytest.FixtureRequest, recipe: Recipe) -> Iterator[RunningServer]:
    """A server that was told that the application is mounted at /mounted."""
    if missing := recipe.missing():
        pytest.skip(missing)
    assert recipe.mount_option is not None
    with start_server(recipe, recipe.mount_option, "/mounted") as running:
        yield from _watched(request, running)


def start_server(recipe: Recipe, *extra: str) -> AbstractContextManager[RunningServer]:
    """Serve ``applications.py``; the process imports the same tree as the tests, from its root."""
    root = Path(__file__).parents[2]
    return start(recipe, "tests.end_to_end.applications:served", directory=root, extra=extra)


def _watched(request: pytest.FixtureRequest, running: RunningServer) -> Iterator[RunningServer]:
    request.node.stash[SERVER] = running
    before = len(running.log())
    yield running
    assert not LEFT_BEHIND.findall(running.log()[before:])


@pytest.fixture
def timeout(request: pytest.FixtureRequest, recipe: Recipe) -> float:
    """Seconds that a client waits for a server: less where it is known to keep it waiting."""
    test: pytest.Function = request.node
    version = test.callspec.params.get("http_version")
    known = KNOWN.get((test.originalname, recipe.name, None if version is None else str(version)))
    return TIMEOUT if known is None else known.wait


@pytest.fixture
def client(server: RunningServer, http_version: str, timeout: float) -> Iterator[httpx.Client]:
    """A client for the shared server that speaks one HTTP version."""
    with make_client(server, http_version, timeout) as made:
        yield made


@pytest.fixture
def cut_client(cut_server: RunningServer, http_version: str, timeout: float) -> Iterator[httpx.Client]:
    """A client for the server whose responses break off."""
    with make_client(cut_server, http_version, timeout) as made:
        yield made


def make_client(server: RunningServer, http_version: str, timeout: float) -> httpx.Client:
    """Make a client that speaks HTTP/1.1, or HTTP/2 with prior knowledge.

    Its receive buffer is small, so that a server cannot hide a long response in the kernel.
    """
    transport = httpx.HTTPTransport(
        http1=http_version == "1.1",
        http2=http_version == "2",
        verify=_TLS,
        trust_env=False,
        socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)],
    )
    return httpx.Client(base_url=server.url, transport=transport, timeout=timeout, trust_env=False)


@pytest.fixture
def raw(server: RunningServer, timeout: float) -> Iterator[RawClient]:
    """One TCP connection to the shared server."""
    with RawClient(server.host, server.port, timeout) as made:
        yield made


@pytest.fixture
def cut_raw(cut_server: RunningServer, timeout: float) -> Iterator[RawClient]:
    """One TCP connection to the server whose responses break off."""
    with RawClient(cut_server.host, cut_server.port, timeout) as made:
        yield made


@pytest.fixture
def wire() -> Iterator[Wire]:
    """The line to the application of this test."""
    with Wire() as made:
        yield made
