"""Three frameworks behind one ``bridge serve``: each is itself under its prefix, on an ASGI and on a WSGI server."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import httpx
import pytest

from compat_matrix.apps.support import STATIC, pattern
from tests.cli.serving import PATIENCE, REPOSITORY, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 300_000  # bytes; more than the bridge and the frameworks keep in memory at once


@pytest.fixture(scope="module", params=["uvicorn", "gunicorn"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where they are served; one process for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        with serving(
            "compat_matrix.apps.fastapi_app:app",
            "--mount=/flask=compat_matrix.apps.flask_app:app",
            "--mount=/django=compat_matrix.apps.django_app.wsgi:application",
            f"--server={request.param}",
        ) as running:
            yield running.url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """A client with cookies of its own."""
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        yield client


mounted = pytest.mark.parametrize(("prefix", "framework"), [("/flask", "Flask"), ("/django", "Django (WSGI)")])


def test_paths_without_a_prefix_are_for_the_first_application(client: httpx.Client) -> None:
    """FastAPI has its routes, its parameters and its documentation."""
    assert client.get("/").json() == {"Hello": "Gilbert"}
    assert client.get("/items/5?q=x").json() == {"item_id": 5, "q": "x"}
    assert client.get("/flasks").status_code == 404
    assert "swagger-ui" in client.get("/docs").text


@mounted
def test_redirects_and_urls_have_the_prefix(client: httpx.Client, url: str, prefix: str, framework: str) -> None:
    """Of a view, of the router, and in absolute URLs."""
    assert httpx.URL(client.get(f"{prefix}/redirect").headers["location"]).path == f"{prefix}/json"
    assert client.get(f"{prefix}/redirect", follow_redirects=True).json()["framework"] in framework
    assert httpx.URL(client.get(f"{prefix}/slashed").headers["location"]).path == f"{prefix}/slashed/"
    assert client.get(f"{prefix}/url").json() == {"path": f"{prefix}/json", "absolute": f"{url}{prefix}/json"}


@mounted
def test_cookies_come_back(client: httpx.Client, prefix: str, framework: str) -> None:
    """Each application gets what it has set, with its attributes."""
    attributes = [header.lower() for header in client.get(f"{prefix}/cookies").headers.get_list("set-cookie")]
    assert any("attributes=2" in header and "httponly" in header and "samesite=lax" in header for header in attributes)
    assert client.get(f"{prefix}/cookies").json() == {"plain": "1", "attributes": "2"}


def test_sessions_do_not_mix(client: httpx.Client) -> None:
    """Each framework counts the visits to its own application."""
    visits = [client.post(f"{prefix}/session").json()["visits"] for prefix in ("/flask", "/django", "/flask")]
    assert visits == [1, 1, 2]


@mounted
def test_static_files_are_found(client: httpx.Client, prefix: str, framework: str) -> None:
    """By the framework's own means; a second request is spared the file."""
    answer = client.get(f"{prefix}/static/hello.txt")
    assert (answer.status_code, answer.content) == (200, (STATIC / "hello.txt").read_bytes())
    assert answer.headers["content-type"].startswith("text/plain")
    again = client.get(f"{prefix}/static/hello.txt", headers={"if-modified-since": answer.headers["last-modified"]})
    assert (again.status_code, again.content) == (304, b"")


@mounted
def test_uploads_arrive(client: httpx.Client, prefix: str, framework: str) -> None:
    """A form with a file, and a body that is streamed without its length."""
    data = b"".join(pattern(SIZE))
    digest = {"size": SIZE, "sha256": hashlib.sha256(data).hexdigest()}
    form = client.post(f"{prefix}/multipart", data={"title": "é"}, files={"file": ("a.bin", data, "image/png")}).json()
    assert form == {
        "fields": {"title": ["é"]},
        "files": [{"name": "file", "filename": "a.bin", "content_type": "image/png", **digest}],
    }
    assert client.post(f"{prefix}/upload", content=data).json() == digest
    assert client.post(f"{prefix}/upload", content=pattern(SIZE)).json() == digest
