"""Each test runs once for every WSGI server and, where it asks for a mode, for every way to run the event loop."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from compat_matrix.servers import RECIPES, Recipe, RunningServer, start
from compat_matrix.wire import TIMEOUT, Wire
from tests.server_logs import LEFT_BEHIND, SERVER, ended_in_order, pytest_configure, pytest_runtest_makereport

from .client import Client
from .known import KNOWN

# A fixture and hooks of this folder.
__all__ = ["ended_in_order", "pytest_configure", "pytest_runtest_makereport"]

WSGI_RECIPES = [recipe for recipe in RECIPES.values() if recipe.interface == "wsgi"]

MODES = ("request", "shared")
TRIO_MODES = ("trio-request", "trio-shared")
# trio does not run beside monkey patches (known.py).
WITH_TRIO = {"gunicorn-gthread", "waitress"}

STARTING = 2  # servers that start at the same time, while the first tests run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask for ``recipe`` to run on every server, for ``mode`` too to run in every mode."""
    if "recipe" not in metafunc.fixturenames:
        return
    facts = {
        name: value for marker in metafunc.definition.iter_markers("where") for name, value in marker.kwargs.items()
    }
    by_mode = "mode" in metafunc.fixturenames
    apply = [recipe for recipe in WSGI_RECIPES if all(getattr(recipe, name) == value for name, value in facts.items())]
    # test_known.py reports those that are not installed, a test only if it has no other.
    installed = [recipe for recipe in apply if recipe.missing() is None]
    cases = []
    for recipe in installed or apply[:1]:
        known = KNOWN.get((metafunc.function.__name__, recipe.name))
        marks = [pytest.mark.xfail(reason=known.reason, raises=known.raises, strict=True)] if known else []
        if missing := recipe.missing():
            marks = [pytest.mark.skip(missing)]
        if by_mode:
            modes = MODES + TRIO_MODES if recipe.name in WITH_TRIO else MODES
            cases += [pytest.param(recipe, mode, id=f"{recipe.name}-{mode}", marks=marks) for mode in modes]
        else:
            cases.append(pytest.param(recipe, id=recipe.name, marks=marks))
    metafunc.parametrize("recipe,mode" if by_mode else "recipe", cases)


class Servers:
    """One process for each recipe, started ahead of the tests; they run until the end of the session."""

    def __init__(self, stack: ExitStack, recipes: Iterable[Recipe]) -> None:
        self._stack = stack
        self._executor = stack.enter_context(ThreadPoolExecutor(STARTING))
        self._ready: dict[str, Future[RunningServer]] = {}
        self._all: list[RunningServer] = []
        for recipe in recipes:
            self._start(recipe)

    def get(self, recipe: Recipe) -> RunningServer:
        """Return the server that the tests share."""
        # One that a test has brought down must not take all later ones with it.
        if recipe.name not in self._ready or (
            self._ready[recipe.name].exception() is None and self._ready[recipe.name].result().ended
        ):
            self._start(recipe)
        return self._ready[recipe.name].result()

    def take(self, recipe: Recipe) -> RunningServer:
        """Return the server for a test that ends it; whoever comes later gets a new one."""
        server = self.get(recipe)
        del self._ready[recipe.name]
        return server

    def stop(self) -> None:
        """End all of them at once, so that those which have to be killed are waited for together."""
        self._executor.shutdown(cancel_futures=True)
        with ThreadPoolExecutor(max(1, len(self._all))) as executor:
            for server in self._all:
                executor.submit(server.stop)

    def killed(self) -> list[str]:
        """Those that had to be killed."""
        return [server.recipe.name for server in self._all if server.killed]

    def _start(self, recipe: Recipe) -> None:
        self._ready[recipe.name] = self._executor.submit(self._enter, recipe)

    def _enter(self, recipe: Recipe) -> RunningServer:
        server = self._stack.enter_context(start_server(recipe))
        self._all.append(server)
        return server


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Every server that a test of this run asks for."""
    asked_for = [
        item.callspec.params["recipe"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "shared_server" in item.fixturenames
    ]
    recipes = [recipe for recipe in WSGI_RECIPES if recipe in asked_for]
    with ExitStack() as stack:
        started = Servers(stack, recipes)
        yield started
        started.stop()
    assert not started.killed()


@pytest.fixture
def shared_server(request: pytest.FixtureRequest, recipe: Recipe, servers: Servers) -> Iterator[RunningServer]:
    """The running server that all tests share."""
    yield from _watched(request, servers.get(recipe))


@pytest.fixture
def taken_server(
    request: pytest.FixtureRequest, shared_server: RunningServer, recipe: Recipe, servers: Servers
) -> RunningServer:
    """The server that the tests have shared so far, with all that they have left in it; this test may end it."""
    return servers.take(recipe)


@pytest.fixture
def forking_server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server of its own for this test; the parameter is the recipe's name, the module, and more options."""
    name, module, *extra = request.param
    recipe = RECIPES[name]
    if missing := recipe.missing():
        pytest.skip(missing)
    with start_server(recipe, *extra, module=module) as running:
        yield from _watched(request, running)


def start_server(recipe: Recipe, *extra: str, module: str = "applications") -> AbstractContextManager[RunningServer]:
    """Serve a module of this folder; the process imports the same tree as the tests, from its root."""
    root = Path(__file__).parents[2]
    return start(recipe, f"tests.on_wsgi_servers.{module}:served", directory=root, extra=extra)


def _watched(request: pytest.FixtureRequest, running: RunningServer) -> Iterator[RunningServer]:
    request.node.stash[SERVER] = running
    before = len(running.log())
    yield running
    log = running.log()[before:]
    if noise := running.recipe.own_noise:
        log = noise.sub("", log)
    assert not LEFT_BEHIND.findall(log)


@pytest.fixture
def timeout(request: pytest.FixtureRequest, recipe: Recipe) -> float:
    """Seconds that a client waits for a server: less where it is known to keep it waiting."""
    test: pytest.Function = request.node
    known = KNOWN.get((test.originalname, recipe.name))
    return TIMEOUT if known is None else known.wait


@pytest.fixture
def client(shared_server: RunningServer, mode: str, timeout: float) -> Client:
    """A client for the application on the event loop of this mode."""
    return Client(shared_server, f"/{mode}", timeout)


@pytest.fixture
def plain_client(shared_server: RunningServer, timeout: float) -> Client:
    """A client for the application that is not mounted."""
    return Client(shared_server, "", timeout)


@pytest.fixture
def wire() -> Iterator[Wire]:
    """The line to the application of this test."""
    with Wire() as made:
        yield made
