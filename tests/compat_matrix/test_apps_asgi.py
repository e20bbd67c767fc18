"""Each ASGI application of the matrix, natively on Uvicorn, does what compat_matrix/apps/README.md says."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from compat_matrix import composition
from compat_matrix.apps import APPS
from compat_matrix.apps.support import FILE, MESSAGE, pattern
from compat_matrix.cells import ROOT
from compat_matrix.client import Response
from compat_matrix.servers import RECIPES, start
from compat_matrix.site import Site, head
from compat_matrix.websocket_client import WebSocketClient

PLACES = [
    ("starlette", "uvicorn-h11"),
    ("quart", "uvicorn-h11"),
    ("fastapi", "uvicorn-h11"),
    ("litestar", "uvicorn-h11"),
    ("sanic", "uvicorn-h11"),
    ("falcon-asgi", "uvicorn-h11"),
    ("channels", "uvicorn-h11"),
    # These are written for both kinds of event loop.
    ("starlette", "hypercorn-trio"),
    ("fastapi", "hypercorn-trio"),
    ("litestar", "hypercorn-trio"),
]
BODY = bytes(range(256)) * 1_000
BODY_RESULT = {"size": 256_000, "sha256": hashlib.sha256(BODY).hexdigest()}


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    name, server = request.param
    app, recipe = APPS[name], RECIPES[server]
    with start(recipe, composition.TARGET, directory=ROOT, env=composition.variables(app, None)) as running:
        yield Site(app, running, bridged=False)


def text(response: Response) -> tuple[int, str, str]:
    """Return status, media type and body."""
    return response.status, media_type(response), response.body.decode()


def media_type(response: Response) -> str:
    (value,) = response.all("content-type")
    return re.sub(r" *; *charset=utf-8$", "", value, flags=re.IGNORECASE)


def data(response: Response) -> Any:
    assert (response.status, media_type(response)) == (200, "application/json")
    return response.json()


def lacking(site: Site, feature: str) -> None:
    if feature in site.app.lacks:
        pytest.skip(site.app.lacks[feature])


# -- requests -------------------------------------------------------------------------------------------------


def test_index(site: Site) -> None:
    assert text(site.get("/")) == (200, "text/plain", f"Hello from {site.app.title}\n")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_echo(site: Site, method: str) -> None:
    body = b"" if method == "GET" else b"\x00\xff"
    seen = data(site.ask(method, "/echo?a=%20&b=%ff", "X-Twice: 1", "X-Twice: 2", body=body, host="h:1"))
    headers = seen.pop("headers")
    assert [value for name, value in headers if name == "x-twice"] == ["1", "2"]
    assert [value for name, value in headers if name == "host"] == ["h:1"]
    assert seen == {
        "method": method,
        "scheme": "http",
        "mount": "",
        "path": "/echo",
        "query": "a=%20&b=%ff",
        "client": "127.0.0.1",
        "body": body.decode("latin-1"),
    }


def test_echo_below_a_mount(site: Site) -> None:
    response = site.get("/mounted/echo")
    if "mount" in site.app.lacks:
        assert response.status == 404
    else:
        seen = data(response)
        assert (seen["mount"], seen["path"]) == ("/mounted", "/echo")


def test_json(site: Site) -> None:
    assert data(site.get("/json")) == {"framework": site.app.title, "ok": True}


def test_head_has_no_body(site: Site) -> None:
    response = site.ask("HEAD", "/json")
    assert response.status in (200, 405)


def test_args(site: Site) -> None:
    assert data(site.get("/args?a=1&a=2&b=x%20y")) == {"a": ["1", "2"], "b": ["x y"]}


def test_paths(site: Site) -> None:
    assert data(site.get("/paths/a/b%20c/d%C3%A9")) == {"rest": "a/b c/dé"}


def test_form(site: Site) -> None:
    kind = "Content-Type: application/x-www-form-urlencoded"
    assert data(site.ask("POST", "/form", kind, body=b"a=1&a=2&b=%C3%A9")) == {"a": ["1", "2"], "b": ["é"]}


def test_multipart(site: Site) -> None:
    one, two = b"one\r\n--x", b"2" * 100_000
    body = (
        b'--limit\r\nContent-Disposition: form-data; name="f"\r\n\r\n1\r\n'
        b'--limit\r\nContent-Disposition: form-data; name="u"; filename="one.txt"\r\nContent-Type: text/x-one\r\n\r\n'
        + one
        + b"\r\n"
        b'--limit\r\nContent-Disposition: form-data; name="f"\r\n\r\n2\r\n'
        b'--limit\r\nContent-Disposition: form-data; name="v"; filename="two.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + two + b"\r\n--limit--\r\n"
    )
    assert data(site.ask("POST", "/multipart", "Content-Type: multipart/form-data; boundary=limit", body=body)) == {
        "fields": {"f": ["1", "2"]},
        "files": [
            {
                "name": "u",
                "filename": "one.txt",
                "content_type": "text/x-one",
                "size": 8,
                "sha256": hashlib.sha256(one).hexdigest(),
            },
            {
                "name": "v",
                "filename": "two.bin",
                "content_type": "application/octet-stream",
                "size": 100_000,
                "sha256": hashlib.sha256(two).hexdigest(),
            },
        ],
    }


def test_upload(site: Site) -> None:
    assert data(site.ask("POST", "/upload", body=BODY)) == BODY_RESULT


def test_upload_in_chunks(site: Site) -> None:
    with site.connect() as client:
        client.send(head("POST", "/upload", "Transfer-Encoding: chunked"))
        for _ in range(1_000):
            client.send(b"100\r\n" + BODY[:256] + b"\r\n")
        client.send(b"0\r\n\r\n")
        assert data(client.read_response()) == BODY_RESULT


def test_upload_is_watched_to_its_end(site: Site) -> None:
    with site.wire() as wire, site.connect() as client:
        client.send(head("POST", f"/upload/watch?wire={wire.port}", length=len(BODY)) + BODY[:1_000])
        assert [wire.hear(), wire.hear()] == ["called", "first"]
        client.send(BODY[1_000:])
        assert wire.hear() == "end"
        assert data(client.read_response()) == BODY_RESULT


def test_upload_is_cut(site: Site) -> None:
    with site.wire() as wire:
        with site.connect() as client:
            client.send(head("POST", f"/upload/watch?wire={wire.port}", length=len(BODY)) + BODY[:1_000])
            assert [wire.hear(), wire.hear()] == ["called", "first"]
        assert wire.hear() == "cut"


def test_body_is_ignored(site: Site) -> None:
    assert text(site.ask("POST", "/ignore", body=b"x")) == (403, "text/plain", "ignored")


def test_body_is_not_waited_for(site: Site) -> None:
    if site.app.name in ("falcon-asgi", "channels"):
        pytest.skip(f"{site.app.title} waits for the first bytes of the body itself")
    with site.connect() as client:
        client.send(head("POST", "/ignore", length=1))
        assert client.read_response().status == 403


# -- streams --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "declared"), [("/download", []), ("/download/declared", ["200000"])])
def test_download(site: Site, path: str, declared: list[str]) -> None:
    response = site.get(f"{path}?size=200000")
    assert (response.status, media_type(response)) == (200, "application/octet-stream")
    assert response.all("content-length") == declared
    assert response.body == b"".join(pattern(200_000))


def test_stream(site: Site) -> None:
    with site.wire() as wire, site.connect() as client:
        client.get(f"/stream?wire={wire.port}")
        assert wire.hear() == "called"
        client.read_until(b"first\n")
        wire.tell("go on")
        client.read_until(b"second\n")
        assert wire.heard_so_far() == []
        wire.tell("go on")
        response = client.read_response()
        assert text(response) == (200, "text/plain", "first\nsecond\nthird\n")
        assert response.all("content-length") == []
        assert wire.hear() == "finally"


def test_stream_whose_client_has_gone(site: Site) -> None:
    with site.wire() as wire:
        with site.connect() as client:
            client.get(f"/stream?wire={wire.port}")
            assert wire.hear() == "called"
            client.read_until(b"first\n")
        with suppress(OSError):  # the application may have hung up by then
            wire.tell("go on")
            wire.tell("go on")
        assert wire.hear() == "finally"


def test_endless(site: Site) -> None:
    if site.app.name == "falcon-asgi":
        pytest.skip("Falcon does not listen while it streams, and Uvicorn's send() does not say that the client left")
    with site.wire() as wire:
        with site.connect() as client:
            client.get(f"/endless?wire={wire.port}")
            assert wire.hear() == "called"
            client.read_until(b"tick\n")
        assert wire.hear() == "finally"


EVENTS = [{"id: 1", "event: tick", "data: one"}, {"id: 2", "event: tick", "data: two"}]
EVENTS += [{"id: 3", "event: tick", "data: three"}]


def events(response: Response) -> list[set[str]]:
    """Return the lines of each event; their order within one is the framework's."""
    assert (response.status, media_type(response)) == (200, "text/event-stream")
    assert response.all("cache-control") == ["no-cache"]
    assert response.all("content-length") == []
    *blocks, end = response.body.decode().replace("\r\n", "\n").split("\n\n")
    assert end == ""
    return [set(block.split("\n")) for block in blocks]


def test_events(site: Site) -> None:
    assert events(site.get("/events")) == EVENTS


def test_events_one_by_one(site: Site) -> None:
    with site.wire() as wire, site.connect() as client:
        client.get(f"/events?wire={wire.port}")
        client.read_until(b"data: one")
        wire.tell("go on")
        client.read_until(b"data: two")
        wire.tell("go on")
        assert events(client.read_response()) == EVENTS


# -- cookies, sessions, URLs ----------------------------------------------------------------------------------


def test_cookies(site: Site) -> None:
    response = site.get("/cookies", "Cookie: a=1; b=2")
    assert data(response) == {"a": "1", "b": "2"}
    plain, attributes = response.all("set-cookie")
    assert plain.split(";")[0] == "plain=1"
    value, *named = (part.strip() for part in attributes.split(";"))
    assert value == "attributes=2"
    assert {"httponly", "max-age=60", "path=/", "samesite=lax"} <= {one.lower() for one in named}


def test_session(site: Site) -> None:
    lacking(site, "sessions")
    response = site.ask("POST", "/session")
    assert data(response) == {"visits": 1}
    for visits in (2, 3):
        cookie = response.all("set-cookie")[-1].split(";")[0]
        response = site.ask("POST", "/session", f"Cookie: {cookie}")
        assert data(response) == {"visits": visits}
    assert data(site.ask("POST", "/session")) == {"visits": 1}


@pytest.mark.parametrize("mount", ["", "/mounted"])
def test_urls(site: Site, mount: str) -> None:
    if mount:
        lacking(site, "mount")
    response = site.get(f"{mount}/redirect")
    assert response.status in (302, 303, 307)
    assert response.all("location") in ([f"{mount}/json"], [f"http://test{mount}/json"])
    urls = {"path": f"{mount}/json", "absolute": f"http://test{mount}/json"}
    assert data(site.get(f"{mount}/url")) == urls


def test_trailing_slash(site: Site) -> None:
    assert text(site.get("/slashed/")) == (200, "text/plain", "slashed")
    response = site.get("/slashed")
    if "trailing slash" in site.app.lacks:
        assert response.all("location") == []
        return
    assert response.status in (301, 302, 307, 308)
    (location,) = response.all("location")
    assert location.endswith("/slashed/")


# -- errors ---------------------------------------------------------------------------------------------------


def test_error_before_the_response(site: Site) -> None:
    assert site.get("/error/before").status == 500


def test_error_after_the_first_chunk(site: Site) -> None:
    with site.wire() as wire, site.connect() as client:
        client.get(f"/error/after?wire={wire.port}")
        client.read_until(b"first")
        wire.tell("fail")
        response = client.read_response()
        assert (response.status, response.body, response.complete) == (200, b"first", False)


def test_body_shorter_than_declared(site: Site) -> None:
    lacking(site, "short")
    with site.wire() as wire, site.connect() as client:
        client.get(f"/error/short?wire={wire.port}")
        client.read_until(b"first")
        wire.tell("fail")
        if site.app.name == "sanic":
            pytest.skip("Sanic goes on when Uvicorn refuses the end, and Uvicorn then never closes the connection")
        response = client.read_response()
        assert response.all("content-length") == ["100"]
        assert (response.status, response.body, response.complete) == (200, b"first", False)


def test_error_of_the_framework(site: Site) -> None:
    response = site.get("/error/http")
    assert response.status == 418
    assert b"a teapot" in response.body


def test_missing(site: Site) -> None:
    assert site.get("/missing").status == 404


# -- headers and statuses -------------------------------------------------------------------------------------


def test_large_headers(site: Site) -> None:
    response = site.get("/headers/large")
    assert text(response) == (200, "text/plain", "large")
    assert response.all("x-large") == ["x" * 6_000]
    assert [response.all(f"x-many-{number}") for number in range(51)] == [["y"]] * 50 + [[]]


def test_repeated_headers(site: Site) -> None:
    response = site.get("/headers/repeated")
    assert text(response) == (200, "text/plain", "repeated")
    # Falcon joins them, which means the same: RFC 9110, 5.3.
    assert response.all("x-repeated") == (["one, two"] if site.app.name == "falcon-asgi" else ["one", "two"])
    assert [value.split(";")[0] for value in response.all("set-cookie")] == ["a=1", "b=2"]


def test_statuses_without_a_body(site: Site) -> None:
    no_content, not_modified = site.get("/status/204"), site.get("/status/304")
    assert (no_content.status, no_content.all("x-seen"), no_content.body) == (204, ["yes"], b"")
    assert (not_modified.status, not_modified.all("etag"), not_modified.body) == (304, ['"v1"'], b"")


def test_empty(site: Site) -> None:
    assert text(site.get("/empty")) == (200, "text/plain", "")


def test_conditional(site: Site) -> None:
    lacking(site, "conditional")
    response = site.get("/conditional", 'If-None-Match: "v0"')
    assert (*text(response), response.all("etag")) == (200, "text/plain", "conditional", ['"v1"'])
    response = site.get("/conditional", 'If-None-Match: "v1"')
    assert (response.status, response.all("etag"), response.body) == (304, ['"v1"'], b"")


def test_file(site: Site) -> None:
    response = site.get("/file")
    assert (response.status, response.body) == (200, FILE.read_bytes())
    (disposition,) = response.all("content-disposition")
    assert re.fullmatch(r'attachment; *filename="?file\.bin"?.*', disposition)


def test_static(site: Site) -> None:
    lacking(site, "static")
    response = site.get("/static/hello.txt")
    assert text(response) == (200, "text/plain", "hello from a static file\n")


# -- where it runs --------------------------------------------------------------------------------------------


def test_blocking_view_does_not_hold_up_others(site: Site) -> None:
    with site.wire() as wire, site.connect() as client:
        client.get(f"/blocking?wire={wire.port}")
        assert wire.hear() == "running"
        assert site.get("/").status == 200
        wire.tell("go on")
        assert text(client.read_response()) == (200, "text/plain", "blocked")


def test_async(site: Site) -> None:
    assert text(site.get("/async")) == (200, "text/plain", "async")


def test_background(site: Site) -> None:
    lacking(site, "background")
    with site.wire() as wire, site.connect() as client:
        client.get(f"/background?wire={wire.port}")
        assert text(client.read_response()) == (200, "text/plain", "accepted")
        assert wire.hear() == "running"
        wire.tell("go on")
        assert wire.hear() == "done"


def test_lifespan(site: Site) -> None:
    lacking(site, "lifespan")
    seen = data(site.get("/lifespan"))
    assert seen == {"started": True, "process": seen["here"], "here": seen["here"]}
    assert os.getpgid(seen["here"]) == site.running.process.pid


def test_context(site: Site) -> None:
    for value in ("one", "two"):
        assert data(site.get(f"/context?value={value}")) == {"before": "unset", "after": value}


# -- WebSockets -----------------------------------------------------------------------------------------------


@contextmanager
def opened(site: Site, target: str, *header_lines: str) -> Iterator[WebSocketClient]:
    with site.connect() as client:
        yield WebSocketClient(client, target, *header_lines)


def test_messages_are_sent_back(site: Site) -> None:
    with opened(site, "/ws/echo") as websocket:
        for message in ("caf\xe9", b"\x00\xff"):
            websocket.say(message)
            assert websocket.hear() == message


def test_handshake(site: Site) -> None:
    with opened(site, "/ws/handshake?a=%20", "Sec-WebSocket-Protocol: other, chat", "X-One: 1") as websocket:
        seen = json.loads(websocket.hear())
    headers = seen.pop("headers")
    assert [value for name, value in headers if name == "x-one"] == ["1"]
    assert seen == {"scheme": "ws", "mount": "", "path": "/ws/handshake", "query": "a=%20", "client": "127.0.0.1"}
    if site.app.name != "sanic":  # it chooses from an empty list
        assert websocket.response.all("sec-websocket-protocol") == ["chat"]
    if "websocket headers" not in site.app.lacks:
        assert websocket.response.all("x-accepted") == ["yes"]


def test_watched_websocket(site: Site) -> None:
    with site.wire() as wire, opened(site, f"/ws/watch?wire={wire.port}") as websocket:
        assert wire.hear() == "open"
        websocket.say("ignored")
        websocket.close(4003)
        code = 4003 if site.recipe.tells_close else 1006
        assert wire.hear() == ("closed" if "websocket code" in site.app.lacks else f"closed {code}")


def test_refused_websocket(site: Site) -> None:
    lacking(site, "websocket refusal")
    with opened(site, "/ws/refused") as websocket:
        assert websocket.response.status == 403


def test_denied_websocket(site: Site) -> None:
    lacking(site, "websocket denial")
    with opened(site, "/ws/denied") as websocket:
        assert (websocket.response.status, websocket.response.all("x-denied")) == (401, ["yes"])
        assert b"log in" in websocket.response.body


def test_websocket_that_the_application_closes(site: Site) -> None:
    lacking(site, "websocket close")
    with opened(site, "/ws/close") as websocket:
        websocket.say("please")
        assert websocket.closed() == (4002, "enough")


@pytest.mark.parametrize("target", ["/ws/returns", "/ws/fails"])
def test_websocket_whose_view_ends(site: Site, target: str) -> None:
    """How the server closes it then is its own."""
    with opened(site, target) as websocket:
        websocket.say("end")
        with suppress(EOFError):
            websocket.closed()


def test_endless_messages(site: Site) -> None:
    if site.recipe.name == "hypercorn-trio":
        pytest.skip("Hypercorn's send() never says that the client has left, so nothing ends this view")
    with site.wire() as wire:
        with opened(site, f"/ws/endless?wire={wire.port}") as websocket:
            assert wire.hear() == "called"
            assert websocket.hear() == MESSAGE
            websocket.raw.reset()
        assert wire.hear() == "finally"
