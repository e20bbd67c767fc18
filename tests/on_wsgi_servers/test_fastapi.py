"""A FastAPI application answers from Gunicorn, through the bridge, as it does from Uvicorn."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from compat_matrix.servers import RECIPES, start

ROOT = Path(__file__).parents[2]

# The server's own, each server's different: RFC 9110, 6.6.1 and 10.2.4; RFC 9112, 6.1 and 9.6.
OF_THE_SERVER = {"date", "server", "connection", "transfer-encoding"}

SERVED = {
    "uvicorn-httptools": "compat_matrix.apps.fastapi_app:app",
    "gunicorn-gthread": "tests.on_wsgi_servers.fastapi_application:served",
    "gunicorn-sync": "tests.on_wsgi_servers.fastapi_application:served",
}


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, httpx.Client]]:
    """A client of each server."""
    with ExitStack() as stack:
        clients = {}
        for name, target in SERVED.items():
            if missing := RECIPES[name].missing():
                pytest.skip(missing)
            server = stack.enter_context(start(RECIPES[name], target, directory=ROOT))
            clients[name] = stack.enter_context(httpx.Client(base_url=server.url))
        yield clients


def seen(response: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """What the application decides of a response."""
    headers = [(name.lower(), value) for name, value in response.headers.raw]
    return response.status_code, [pair for pair in headers if pair[0].decode() not in OF_THE_SERVER], response.content


@pytest.mark.parametrize("server", ["gunicorn-gthread", "gunicorn-sync"])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/items/5?q=x", 200),
        ("/items/5", 200),
        ("/items/x", 422),
        ("/nothing", 404),
        ("/openapi.json", 200),
        ("/docs", 200),
        ("/redoc", 200),
    ],
)
def test_answers_identically(clients: dict[str, httpx.Client], server: str, path: str, status: int) -> None:
    """Status, headers in their order and the bytes of the body."""
    at_home = clients["uvicorn-httptools"].get(path)

    assert at_home.status_code == status
    assert seen(clients[server].get(path)) == seen(at_home)


@pytest.mark.parametrize("server", SERVED)
def test_answers_what_the_tutorial_says(clients: dict[str, httpx.Client], server: str) -> None:
    """Not only the same, but right."""
    assert clients[server].get("/").json() == {"Hello": "Gilbert"}
    assert clients[server].get("/items/5?q=x").json() == {"item_id": 5, "q": "x"}


@pytest.mark.parametrize("server", ["gunicorn-gthread", "gunicorn-sync"])
@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_wrong_method_is_answered_identically(clients: dict[str, httpx.Client], server: str, method: str) -> None:
    """405 with Allow; HEAD without a body."""
    at_home = clients["uvicorn-httptools"].request(method, "/")

    assert at_home.status_code == 405
    assert seen(clients[server].request(method, "/")) == seen(at_home)


THREADS = 40  # of Gunicorn (compat_matrix.servers.gunicorn), and of anyio for each loop


def test_def_endpoints_keep_the_number_of_threads_bounded() -> None:
    """Issue 3: anyio's worker threads, of the one loop there is. Each of these requests needs one of them."""
    recipe = RECIPES["gunicorn-gthread"]
    if missing := recipe.missing():
        pytest.skip(missing)
    with ExitStack() as stack:
        server = stack.enter_context(start(recipe, SERVED[recipe.name], directory=ROOT))
        client = stack.enter_context(httpx.Client(base_url=server.url))

        def ask(number: int) -> int:
            return client.get(f"/items/{number}").status_code

        with ThreadPoolExecutor(16) as executor:
            assert list(executor.map(ask, range(300))) == [200] * 300
        parent = server.process.pid
        worker = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0]

        # Gunicorn's main thread and its pool; the loop's; anyio's.
        assert len(os.listdir(f"/proc/{worker}/task")) <= 1 + THREADS + 1 + THREADS
