"""The WSGI applications of the matrix, and Django and Flask for ASGI, keep the contract of endpoints; no server."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from django.conf import Settings, settings
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from compat_matrix.apps import APPS
from compat_matrix.apps.django_app import settings as project
from compat_matrix.apps.support import pattern
from compat_matrix.composition import load
from compat_matrix.model import App
from compat_matrix.wire import Wire

pytestmark = [
    # Django's file response, on an event loop.
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators:Warning"),
    # WebOb's, below Pyramid: the date of a cookie, and temporary files of a form that it leaves to the collector.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:webob"),
    pytest.mark.filterwarnings("ignore:unclosed file <_io.BufferedRandom:ResourceWarning"),
]

TITLES = {
    "flask": "Flask",
    "flask-asgi": "Flask",
    "django": "Django",
    "django-asgi": "Django",
    "bottle": "Bottle",
    "pyramid": "Pyramid",
    "falcon": "Falcon",
}
LACKS = {
    "flask": {"long-lived", "background", "lifespan", "websocket headers"},
    "flask-asgi": {"long-lived", "background", "lifespan", "websocket headers"},
    "django": {"long-lived", "background", "lifespan", "websocket", "socket.io"},
    "django-asgi": {
        "long-lived",
        "background",
        "lifespan",
        "streamed upload",
        "early answer",
        "websocket",
        "socket.io",
    },
    "bottle": {"long-lived", "background", "lifespan", "async", "trailing slash", "websocket", "socket.io"},
    "pyramid": {"long-lived", "background", "lifespan", "async", "websocket", "socket.io"},
    "falcon": {"long-lived", "background", "lifespan", "async", "trailing slash", "sessions", "websocket", "socket.io"},
}
TIMEOUT = 10.0  # seconds, for every wait


def having(*features: str, interface: str | None = None) -> pytest.MarkDecorator:
    """Run a test on each application that has these features."""
    names = [name for name in TITLES if not LACKS[name].intersection(features)]
    if interface is not None:
        names = [name for name in names if APPS[name].interface == interface]
    return pytest.mark.parametrize("app", [pytest.param(APPS[name], id=name) for name in names])


every = having()


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other.lower() == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def json(self) -> Any:
        assert (self.status, self.one("content-type").partition(";")[0]) == (200, "application/json")
        return json.loads(self.body)

    def text(self) -> tuple[int, str, str]:
        """Return status, media type and text."""
        return self.status, self.one("content-type").partition(";")[0], self.body.decode()

    def cookies(self) -> dict[str, Morsel[str]]:
        jar: SimpleCookie = SimpleCookie()
        for header in self.all("set-cookie"):
            jar.load(header)
        return dict(jar)


HeaderLines = Iterable[tuple[str, str]]


def environ(method: str, target: str, headers: HeaderLines = (), length: int = 0, stream: Any = None) -> dict[str, Any]:
    path, _, query = target.partition("?")
    mount = "/mounted" if path.startswith("/mounted/") else ""
    builder = EnvironBuilder(
        path=path.removeprefix(mount),
        query_string=query,
        base_url=f"http://test.example{mount}",
        method=method,
        headers=Headers(list(headers)),
        input_stream=io.BytesIO(),
        environ_base={"REMOTE_ADDR": "127.0.0.1"},
    )
    body = {"CONTENT_LENGTH": str(length), "wsgi.input": stream} if stream else {}
    return builder.get_environ() | body


def ask_wsgi(application: Any, called: dict[str, Any]) -> Answer:
    answer = Answer(0, [], b"")

    def start_response(status: str, headers: HeaderLines, exc_info: object = None) -> None:
        answer.status, answer.headers = int(status[:3]), list(headers)

    chunks = application(called, start_response)
    try:
        answer.body = b"".join(chunks)
    finally:
        getattr(chunks, "close", list)()
    return answer


async def ask_asgi(application: Any, method: str, target: str, headers: HeaderLines, body: bytes, mount: str) -> Answer:
    transport = httpx.ASGITransport(application, root_path=mount)
    async with httpx.AsyncClient(transport=transport, base_url="http://test.example") as client:
        response = await client.request(method, target, headers=list(headers), content=body or None)
    return Answer(response.status_code, response.headers.multi_items(), response.content)


def ask(app: App, method: str, target: str, headers: HeaderLines = (), body: bytes = b"") -> Answer:
    """Call an application; it is mounted if the target starts with ``/mounted/``."""
    application = load(app.target)
    if app.interface == "asgi":
        mount = "/mounted" if target.startswith("/mounted/") else ""
        return asyncio.run(ask_asgi(application, method, target, headers, body, mount))
    called = environ(method, target, headers, len(body), io.BytesIO(body))
    # In a context of its own: what one request sets is not to be there for the next.
    return copy_context().run(ask_wsgi, application, called)


def get(app: App, target: str, *headers: tuple[str, str]) -> Answer:
    return ask(app, "GET", target, headers)


@pytest.fixture(scope="module", autouse=True)
def _django_project() -> Iterator[None]:
    """Give Django the project's settings, also in a process where another test has configured it."""
    before = settings._wrapped
    settings._wrapped = Settings(project.__name__)
    yield
    settings._wrapped = before


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(TIMEOUT) as opened:
        yield opened


@pytest.fixture
def meanwhile() -> Iterator[Callable[..., Future[Answer]]]:
    """Call an application in a thread."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda *arguments: pool.submit(ask, *arguments)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", TITLES)
def test_entry_says_what_the_framework_is_and_lacks(name: str) -> None:
    """What an application does not have is in its entry, with a reason."""
    entry = APPS[name]
    assert (entry.title, set(entry.lacks)) == (TITLES[name], LACKS[name])
    assert all(entry.lacks.values())


# Requests


@every
def test_index(app: App) -> None:
    """The first page greets."""
    assert get(app, "/").text() == (200, "text/plain", f"Hello from {TITLES[app.name]}\n")


@every
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_echo(app: App, method: str) -> None:
    """The request is told back, with the mount apart from the path."""
    body = b"" if method in ("GET", "OPTIONS") else b"\x00\xff\xe9"
    told = ask(app, method, "/mounted/echo?a=1&b=%C3%A9", [("X-One", "1")], body).json()
    headers = told.pop("headers")
    assert ["x-one", "1"] in headers
    assert ["host", "test.example"] in headers
    assert told == {
        "method": method,
        "scheme": "http",
        "mount": "/mounted",
        "path": "/echo",
        "query": "a=1&b=%C3%A9",
        "client": "127.0.0.1",
        "body": body.decode("latin-1"),
    }


@every
def test_echo_at_the_root(app: App) -> None:
    """Without a mount the mount is empty."""
    told = get(app, "/echo").json()
    assert (told["mount"], told["path"], told["query"], told["body"]) == ("", "/echo", "", "")


@every
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/args?a=1&a=2&b=x", {"a": ["1", "2"], "b": ["x"]}),
        ("/args?name=%C3%A9+1%2C2", {"name": ["é 1,2"]}),
        ("/args", {}),
        ("/paths/one/two.txt", {"rest": "one/two.txt"}),
        ("/paths/caf%C3%A9/a%20b", {"rest": "café/a b"}),
        ("/mounted/paths/one/two", {"rest": "one/two"}),
        ("/context?value=new", {"before": "unset", "after": "new"}),
    ],
)
def test_parsed_parts_of_the_request(app: App, target: str, expected: object) -> None:
    """Query and path arrive as the framework parses them, the context as it was before every request."""
    assert get(app, target).json() == expected


@every
def test_json(app: App) -> None:
    """JSON names the framework."""
    assert get(app, "/json").json() == {"framework": TITLES[app.name], "ok": True}


@every
def test_form(app: App) -> None:
    """An urlencoded form comes as lists."""
    answer = ask(
        app, "POST", "/form", [("Content-Type", "application/x-www-form-urlencoded")], b"a=1&b=%C3%A9&a=2+3&c=x%2Cy"
    )
    assert answer.json() == {"a": ["1", "2 3"], "b": ["é"], "c": ["x,y"]}


@every
def test_multipart(app: App) -> None:
    """Fields and files of a multipart form come apart, in their order."""
    large = bytes(range(256)) * 500
    parts: list[tuple[str, bytes]] = [
        ('Content-Disposition: form-data; name="field"', b"one"),
        ('Content-Disposition: form-data; name="b"; filename="b.txt"\r\nContent-Type: text/x-first', b"first"),
        ('Content-Disposition: form-data; name="a"; filename="a.bin"\r\nContent-Type: application/x-large', large),
        ('Content-Disposition: form-data; name="field"', "zwö".encode()),
    ]
    body = b"".join(b"--limit\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    answer = ask(
        app, "POST", "/multipart", [("Content-Type", "multipart/form-data; boundary=limit")], body + b"--limit--\r\n"
    )
    assert answer.json() == {
        "fields": {"field": ["one", "zwö"]},
        "files": [
            {
                "name": "b",
                "filename": "b.txt",
                "content_type": "text/x-first",
                "size": 5,
                "sha256": "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e",
            },
            {
                "name": "a",
                "filename": "a.bin",
                "content_type": "application/x-large",
                "size": 128_000,
                "sha256": sha256(large),
            },
        ],
    }


@every
@pytest.mark.parametrize("size", [0, 1, 200_000])
def test_upload(app: App, size: int) -> None:
    """A raw body is read to its end."""
    body = b"\xe9" * size
    headers = [("Content-Type", "application/octet-stream")]
    assert ask(app, "POST", "/upload", headers, body).json() == {"size": size, "sha256": sha256(body)}


@every
def test_watched_upload(app: App, wire: Wire, meanwhile: Callable[..., Future[Answer]]) -> None:
    """The check hears how far a body was read."""
    answer = meanwhile(app, "POST", f"/upload/watch?wire={wire.port}", [], b"0123456789")
    assert [wire.hear() for _ in range(3)] == ["called", "first", "end"]
    assert answer.result(TIMEOUT).json() == {"size": 10, "sha256": sha256(b"0123456789")}


@having(interface="wsgi")
@pytest.mark.parametrize(("rest", "last"), [(b"123456789", "end"), (b"1234", "cut")])
def test_upload_that_comes_in_parts(app: App, wire: Wire, rest: bytes, last: str) -> None:
    """A view reads the first bytes before the others are there, and notices when they do not come."""
    application = load(app.target)
    client, server = socket.socketpair()
    with client, server, server.makefile("rb", buffering=0) as stream, ThreadPoolExecutor(1) as pool:
        server.settimeout(TIMEOUT)
        called = environ("POST", f"/upload/watch?wire={wire.port}", [], 10, stream)
        done = pool.submit(ask_wsgi, application, called)
        assert wire.hear() == "called"
        client.sendall(b"0")
        assert wire.hear() == "first"
        client.sendall(rest)
        client.shutdown(socket.SHUT_WR)
        assert wire.hear() == last
        done.exception(TIMEOUT)


@every
def test_ignored_body(app: App) -> None:
    """A view answers without reading the body."""
    assert ask(app, "POST", "/ignore", [], b"unread").text() == (403, "text/plain", "ignored")


# Streams


@every
@pytest.mark.parametrize(("target", "declared"), [("/download", []), ("/download/declared", ["70000"])])
def test_download(app: App, target: str, declared: list[str]) -> None:
    """Bytes are streamed, with and without Content-Length."""
    answer = get(app, f"{target}?size=70000")
    assert (answer.status, answer.one("content-type")) == (200, "application/octet-stream")
    assert answer.all("content-length") == declared
    assert answer.body == b"".join(pattern(70_000))


def test_pattern_has_no_period() -> None:
    """Whatever is lost, doubled or out of its place in a download changes it."""
    body = b"".join(pattern(300_001))
    parts = [body[at : at + 32] for at in range(0, 65_536, 32)]
    pieces = list(pattern(300_001))

    assert (len(body), len(set(parts)), len(set(pieces))) == (300_001, len(parts), 5)
    assert pieces[1] not in (pieces[0], pieces[2])


@every
def test_stream(app: App, wire: Wire, meanwhile: Callable[..., Future[Answer]]) -> None:
    """A stream goes on when it is told to, and says its end."""
    answer = meanwhile(app, "GET", f"/stream?wire={wire.port}")
    assert wire.hear() == "called"
    wire.tell("go on")
    wire.tell("go on")
    assert wire.hear() == "finally"
    assert answer.result(TIMEOUT).text() == (200, "text/plain", "first\nsecond\nthird\n")
    assert answer.result().all("content-length") == []


@having(interface="wsgi")
@pytest.mark.parametrize(("path", "first"), [("/stream", b"first\n"), ("/endless", b"tick\n")])
def test_stream_that_the_server_closes(app: App, wire: Wire, path: str, first: bytes) -> None:
    """A stream that is closed early says so."""
    chunks, status, _ = run_wsgi_app(load(app.target), environ("GET", f"{path}?wire={wire.port}"))
    assert (status[:3], next(iter(chunks))) == ("200", first)
    chunks.close()  # type: ignore[attr-defined]
    assert (wire.hear(), wire.hear()) == ("called", "finally")


@having(interface="asgi")
def test_stream_that_the_client_leaves(app: App, wire: Wire) -> None:
    """A stream that is cancelled, or closed early, says so."""

    async def leave() -> list[bytes]:
        taken: list[bytes] = []
        enough = asyncio.Event()
        requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in requests:
                return message
            await enough.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            taken.append(message.get("body", b""))
            if b"".join(taken).count(b"tick\n") >= 3:
                enough.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/endless",
            "raw_path": b"/endless",
            "query_string": f"wire={wire.port}".encode(),
            "root_path": "",
            "headers": [(b"host", b"test.example")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await asyncio.wait_for(load(app.target)(scope, receive, send), TIMEOUT)
        return taken

    assert b"".join(asyncio.run(leave())).startswith(b"tick\ntick\ntick\n")
    assert (wire.hear(), wire.hear()) == ("called", "finally")


@every
def test_events(app: App, wire: Wire, meanwhile: Callable[..., Future[Answer]]) -> None:
    """Server-sent events come at once, or when they are told to."""
    at_once = get(app, "/events")
    held = meanwhile(app, "GET", f"/events?wire={wire.port}")
    wire.tell("go on")
    wire.tell("go on")
    for answer in (at_once, held.result(TIMEOUT)):
        assert answer.one("cache-control") == "no-cache"
        assert answer.text() == (
            200,
            "text/event-stream",
            "id: 1\nevent: tick\ndata: one\n\nid: 2\nevent: tick\ndata: two\n\nid: 3\nevent: tick\ndata: three\n\n",
        )


def test_stream_of_flask_without_a_line() -> None:
    """README's example does not wait for a check."""
    assert get(APPS["flask"], "/stream").text() == (200, "text/plain", "first\nsecond\nthird\n")


# Cookies, sessions, URLs


@every
def test_cookies(app: App) -> None:
    """Cookies of the request are told, two are set."""
    answer = get(app, "/cookies", ("Cookie", "one=1; two=zwei"))
    assert answer.json() == {"one": "1", "two": "zwei"}
    cookies = answer.cookies()
    assert {name: cookie.value for name, cookie in cookies.items()} == {"plain": "1", "attributes": "2"}
    attributes = cookies["attributes"]
    assert (attributes["path"], attributes["httponly"], attributes["max-age"]) == ("/", True, "60")
    assert attributes["samesite"].lower() == "lax"


@having("sessions")
def test_session(app: App) -> None:
    """A session counts its visits in a signed cookie."""
    visits = []
    headers: list[tuple[str, str]] = []
    for _ in range(3):
        answer = ask(app, "POST", "/session", headers)
        visits.append(answer.json()["visits"])
        headers = [("Cookie", "; ".join(f"{name}={morsel.coded_value}" for name, morsel in answer.cookies().items()))]
    assert visits == [1, 2, 3]


@every
@pytest.mark.parametrize("mount", ["", "/mounted"])
def test_urls(app: App, mount: str) -> None:
    """The framework builds URLs with the mount."""
    answer = get(app, f"{mount}/redirect")
    assert answer.status in (302, 303, 307)
    home = f"http://test.example{mount}"
    assert urljoin(f"{home}/redirect", answer.one("location")) == f"{home}/json"
    assert get(app, f"{mount}/url").json() == {"path": f"{mount}/json", "absolute": f"{home}/json"}


@having("trailing slash")
@pytest.mark.parametrize("mount", ["", "/mounted"])
def test_trailing_slash(app: App, mount: str) -> None:
    """The router redirects to the path with a slash."""
    answer = get(app, f"{mount}/slashed")
    assert answer.status in (301, 302, 307, 308)
    home = f"http://test.example{mount}"
    assert urljoin(f"{home}/slashed", answer.one("location")) == f"{home}/slashed/"
    assert get(app, f"{mount}/slashed/").text() == (200, "text/plain", "slashed")


@every
@pytest.mark.parametrize("mount", ["", "/mounted"])
def test_static_file(app: App, mount: str) -> None:
    """Static files are served below the mount."""
    answer = get(app, f"{mount}/static/hello.txt")
    assert answer.text() == (200, "text/plain", "hello from a static file\n")


@every
def test_file(app: App) -> None:
    """A file comes as an attachment."""
    answer = get(app, "/file")
    assert (answer.status, len(answer.body), answer.one("content-length")) == (200, 70_000, "70000")
    disposition, _, name = answer.one("content-disposition").partition(";")
    assert (disposition, name.strip().replace('"', "")) == ("attachment", "filename=file.bin")


# Errors


@every
def test_error_before_the_response(app: App) -> None:
    """An exception of a view is answered with 500; Pyramid leaves that to the server."""
    if app.name == "pyramid":
        with pytest.raises(RuntimeError, match="before the response"):
            get(app, "/error/before")
    else:
        assert get(app, "/error/before").status == 500


@every
def test_error_after_the_first_chunk(app: App, wire: Wire, meanwhile: Callable[..., Future[Answer]]) -> None:
    """An exception while a body is streamed reaches the server."""
    answer = meanwhile(app, "GET", f"/error/after?wire={wire.port}")
    wire.tell("fail")
    with pytest.raises(RuntimeError, match="after the first chunk"):
        answer.result(TIMEOUT)


@having("short", interface="wsgi")
def test_body_shorter_than_declared(app: App, wire: Wire, meanwhile: Callable[..., Future[Answer]]) -> None:
    """A body may end before its Content-Length."""
    answer = meanwhile(app, "GET", f"/error/short?wire={wire.port}")
    wire.tell("fail")
    assert answer.result(TIMEOUT).text() == (200, "text/plain", "first")
    assert answer.result().one("content-length") == "100"


@every
@pytest.mark.parametrize(("path", "status"), [("/error/http", 418), ("/missing", 404)])
def test_errors_of_the_framework(app: App, path: str, status: int) -> None:
    """The framework ends a request with a status and a text of its own."""
    answer = get(app, path)
    assert answer.status == status
    assert answer.body


# Headers and statuses


@every
def test_large_headers(app: App) -> None:
    """One header is large, and there are many."""
    answer = get(app, "/headers/large")
    assert answer.text() == (200, "text/plain", "large")
    assert answer.one("x-large") == "x" * 6000
    assert [answer.one(f"x-many-{number}") for number in range(50)] == ["y"] * 50


@every
def test_repeated_headers(app: App) -> None:
    """Repeated headers keep their order; Django and Falcon join them."""
    answer = get(app, "/headers/repeated")
    assert answer.text() == (200, "text/plain", "repeated")
    assert answer.all("x-repeated") == (["one, two"] if app.title in ("Django", "Falcon") else ["one", "two"])
    assert [cookie.partition(";")[0].strip() for cookie in answer.all("set-cookie")] == ["a=1", "b=2"]


@every
@pytest.mark.parametrize(
    ("path", "status", "header"),
    [("/status/204", 204, ("x-seen", "yes")), ("/status/304", 304, ("etag", '"v1"'))],
)
def test_statuses_without_a_body(app: App, path: str, status: int, header: tuple[str, str]) -> None:
    """No body where there must be none."""
    answer = get(app, path)
    assert (answer.status, answer.one(header[0]), answer.body) == (status, header[1], b"")


@every
def test_empty_body(app: App) -> None:
    """A body may be empty."""
    assert get(app, "/empty").text() == (200, "text/plain", "")


@every
def test_conditional_request(app: App) -> None:
    """What the client has is not sent again."""
    answers = [get(app, "/conditional", *headers) for headers in ([], [("If-None-Match", '"v1"')])]
    assert [(answer.status, answer.one("etag"), answer.body) for answer in answers] == [
        (200, '"v1"', b"conditional"),
        (304, '"v1"', b""),
    ]


# Where the view runs


@every
def test_blocking_view(app: App, wire: Wire, meanwhile: Callable[..., Future[Answer]]) -> None:
    """A plain view blocks its thread only."""
    answer = meanwhile(app, "GET", f"/blocking?wire={wire.port}")
    assert wire.hear() == "running"
    wire.tell("go on")
    assert answer.result(TIMEOUT).text() == (200, "text/plain", "blocked")


@having("async")
def test_async_view(app: App) -> None:
    """A view may be a coroutine function."""
    assert get(app, "/async").text() == (200, "text/plain", "async")
