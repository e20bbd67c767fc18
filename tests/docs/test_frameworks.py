"""docs/frameworks.md: each example on a server, with a client that looks for the prefix in all that it gets."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.asgi import TIMEOUT
from tests.docs.pages import blocks
from tests.docs.probes import MARK
from tests.docs.served import DJANGO

# A process each: Django has one configuration for a process.
PROCESSES = [
    ["Starlette", "FastAPI", "Quart", "Sanic", "Litestar", "Falcon", "Werkzeug's DispatcherMiddleware", "Flask"],
    ["Django"],
    ["Channels"],
    [DJANGO],
]
OLDER = ", mount not in path"
WSGI = ["Werkzeug's DispatcherMiddleware", "Flask"]
NAMES = [
    "Starlette",
    f"Starlette{OLDER}",
    "FastAPI",
    f"FastAPI{OLDER}",
    "Quart",
    "Sanic",
    "Litestar",
    "Falcon",
    "Django",
    "Django, by hand",
    "Channels",
    "Django in Starlette",
    f"Django in Starlette{OLDER}",
    *WSGI,
]
# Those whose shutdown the adapter is not told of, as the page says.
NOT_TOLD = {name for name in NAMES if "Starlette" in name} | {"Litestar", *WSGI}

# Nothing here speaks TLS, and a context of its own would cost each client 20 ms.
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

LARGE = bytes(range(256)) * 1024  # bytes; more than what is collected before the application is called


def test_every_example_is_run() -> None:
    """A section that is added to the page is added here."""
    headings = [heading for process in PROCESSES for heading in process]

    assert sorted(blocks("frameworks.md")) == sorted(heading for heading in headings if heading != DJANGO)


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """Where each example is mounted."""
    with ExitStack() as stack:
        command = [sys.executable, "-m", "tests.docs.served"]
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, *headings],
                    cwd=Path(__file__).parents[2],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    encoding="utf-8",
                )
            )
            for headings in PROCESSES
        ]
        for process in processes:
            stack.callback(process.kill)
        yield {name: str(url) for process in processes for name, url in _next(process).items()}
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        ended = {name: count for process in processes for name, count in _next(process).items()}
        assert [process.wait(TIMEOUT) for process in processes] == [0] * len(processes)
        assert {name for name, count in ended.items() if not count} == NOT_TOLD


def _next(process: subprocess.Popen[str]) -> dict[str, str | int]:
    assert process.stdout is not None
    for line in process.stdout:  # Sanic writes there too
        if line.startswith("{"):
            found: dict[str, str | int] = json.loads(line)
            return found
    raise AssertionError("the process with the examples has ended")


@pytest.fixture(params=NAMES)
def mount(request: pytest.FixtureRequest, urls: dict[str, str]) -> str:
    """The URL of a mount, without a slash at its end."""
    return urls[request.param]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=TIMEOUT, trust_env=False, follow_redirects=True, verify=_TLS) as made:
        yield made


def below(mount: str) -> str:
    """The prefix."""
    return urlsplit(mount).path


def test_urls_that_are_built_have_the_prefix(mount: str, client: httpx.Client) -> None:
    """PEP 3333, SCRIPT_NAME; ASGI HTTP specification, root_path: for the application to know where it is."""
    response = client.get(f"{mount}/")

    assert response.status_code == 200
    assert response.text.strip('"') == f"{below(mount)}/"
    assert MARK in response.headers


def test_mount_itself_leads_into_it(mount: str, client: httpx.Client) -> None:
    """Without a slash: as it is, or by a redirect."""
    response = client.get(mount)

    assert response.text.strip('"') == f"{below(mount)}/"


def test_rest_is_the_frameworks(mount: str, client: httpx.Client) -> None:
    """The framework was started (Sanic's answer is made at its start) and serves what is not below the mount."""
    response = client.get(mount.removesuffix(below(mount)) + "/")

    assert (response.status_code, response.text.strip('"')) == (200, "legacy" if below(mount) == "/api" else "new")


def test_path_with_the_same_letters_goes_elsewhere(mount: str, client: httpx.Client) -> None:
    """RFC 3986, 3.3: a prefix is one of whole segments."""
    responses = [client.get(mount + rest) for rest in ("x", "x/", "x/seen/me")]

    assert [(response.status_code, MARK in response.headers) for response in responses] == [(404, False)] * 3


# What follows the mount, and PATH_INFO.
PATHS = {
    "/seen/a": "/seen/a",
    "/seen/caf%C3%A9%20%F0%9F%98%80": "/seen/caf\xc3\xa9 \xf0\x9f\x98\x80",
    "/seen/%FF": "/seen/\xff",
    "/seen/a/": "/seen/a/",
    "/legacy/seen": "/legacy/seen",
    "/api/seen": "/api/seen",
}


def test_path_is_split_at_the_mount(mount: str, client: httpx.Client) -> None:
    """PEP 3333: SCRIPT_NAME and PATH_INFO together are the path, byte for byte."""
    expected = dict(PATHS)
    if below(mount) == "/api":  # ASGI has text in path, and U+FFFD for what is no UTF-8
        expected["/seen/%FF"] = "/seen/\xef\xbf\xbd"

    assert {path: client.get(mount + path).json() for path in PATHS} == {
        path: [below(mount), path_info] for path, path_info in expected.items()
    }


def test_redirect_stays_below_the_mount(mount: str, client: httpx.Client) -> None:
    """The application makes its address from the name of a view."""
    response = client.get(f"{mount}/redirect")

    (redirect,) = response.history
    assert urlsplit(redirect.headers["location"]).path == f"{below(mount)}/seen/after"
    assert response.json() == [below(mount), "/seen/after"]


def test_cookie_comes_back(mount: str, client: httpx.Client) -> None:
    """RFC 6265, 5.1.4: one with the path of the mount is sent below it."""
    first, second = (client.get(f"{mount}/cookie") for _ in range(2))

    assert f"path={below(mount)}/" in first.headers["set-cookie"].lower()
    assert (first.json(), second.json()) == ({}, {"basket": "full"})


def test_bytes_of_an_upload_arrive(mount: str, client: httpx.Client) -> None:
    """Such that are no text, and more than one message of them."""
    response = client.post(f"{mount}/upload", content=LARGE)

    assert response.text == hashlib.sha256(LARGE).hexdigest()


def test_first_chunk_comes_before_the_second_is_made(mount: str, client: httpx.Client) -> None:
    """Nothing on the way waits for the end of a response."""
    with client.stream("GET", f"{mount}/stream") as response:
        chunks = response.iter_raw()
        first = next(chunks)
        client.get(f"{mount}/go-on")
        rest = b"".join(chunks)

    assert (first, rest) == (b"first", b"second")


@pytest.mark.parametrize("mount", WSGI, indirect=True)
def test_documentation_of_fastapi_finds_its_schema(mount: str, client: httpx.Client) -> None:
    """OpenAPI 3.1, "Server Object": relative addresses of operations are below it."""
    page = client.get(f"{mount}/docs")
    schema = client.get(f"{mount}/openapi.json").json()

    assert f"'{below(mount)}/openapi.json'" in page.text
    assert schema["servers"] == [{"url": below(mount)}]
    assert "/upload" in schema["paths"]
