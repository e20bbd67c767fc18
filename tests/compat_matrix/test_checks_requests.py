"""The checks about requests and complete responses: their helpers, and the validators that look on. No server."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from compat_matrix import validators
from compat_matrix.checks import CHECKS, Failed, answers, responses
from compat_matrix.checks.observe import seen
from compat_matrix.client import Response
from compat_matrix.validators import complaints, validated

needs_asgion = pytest.mark.skipif(find_spec("asgion") is None, reason="asgion, which needs Python 3.12")


@pytest.fixture(autouse=True)
def no_complaints() -> Iterator[None]:
    """Each test begins with none, and leaves none behind."""
    complaints.take()
    yield
    complaints.take()


def environ(**more: Any) -> dict[str, Any]:
    """Return what a server gives."""
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": "5",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"hello"),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **more,
    }


def call(application: Any, close: bool = True, **more: Any) -> bytes:
    """Be a WSGI server."""
    chunks = application(environ(**more), lambda *args: lambda data: None)
    try:
        return b"".join(chunks)
    finally:
        if close:
            chunks.close()


def greet(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer rightly."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [environ["wsgi.input"].read()]


def at_home(application: Any) -> Any:
    """Put the validators around a WSGI application that a server calls."""
    return validated(application, lambda plain: plain, "wsgi", bridged=False)


# -- WSGI -------------------------------------------------------------------------------------------------------------


def test_right_application_is_not_complained_about() -> None:
    """Also if it reads without a size, which both validators refuse by themselves."""
    assert call(at_home(greet)) == b"hello"
    assert complaints.take() == []


def test_wsgiref_hears_a_chunk_that_is_no_bytes() -> None:
    """PEP 3333: the iterable yields bytestrings."""

    def wrong(environ: Any, start_response: Any) -> list[Any]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["text"]

    with pytest.raises(AssertionError):
        call(at_home(wrong))
    assert any(said.startswith("wsgiref, ") and "non-bytestring" in said for said in complaints.take())


def test_complaint_is_heard_that_the_application_swallows() -> None:
    """wsgiref's validator raises into whoever calls start_response."""

    def wrong(environ: Any, start_response: Any) -> list[bytes]:
        try:
            start_response("200 OK", [("Bad\nName", "x")])
        except AssertionError:
            start_response("200 OK", [])
        return []

    call(at_home(wrong))
    (said,) = complaints.take()
    assert said.startswith("wsgiref, around the application at home: Header names")


def test_an_assertion_of_the_application_is_its_own() -> None:
    """Only what a validator raises is a complaint."""

    def fails(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError("mine")

    with pytest.raises(AssertionError, match="mine"):
        call(at_home(fails))
    assert complaints.take() == []


def test_werkzeug_hears_a_wrong_length() -> None:
    """PEP 3333, "Handling the Content-Length Header"."""

    def wrong(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "7")])
        return [b"hello"]

    call(at_home(wrong))
    (said,) = complaints.take()
    assert said.startswith("werkzeug: Content-Length")


def test_werkzeug_is_heard_whatever_the_warning_filters_say() -> None:
    """Warnings are errors in these tests, and ignored in many a server."""
    application = at_home(lambda environ, start_response: start_response("200 OK", [("Status", "x")]) or [])
    with pytest.raises(AssertionError):
        call(application)
    assert any(said.startswith("werkzeug: The status header") for said in complaints.take())


def test_werkzeug_counts_no_body_of_head() -> None:
    """RFC 9110, 8.6: the length is that of the answer to GET."""

    def of_head(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "7")])
        return []

    call(at_home(of_head), REQUEST_METHOD="HEAD")
    assert complaints.take() == []


@pytest.mark.parametrize("status", ["204 No Content", "302 Found", "304 Not Modified"])
def test_what_http_allows_the_application_is_no_complaint(status: str) -> None:
    """A type with 204, a redirect without one and relative, a 304 with a length: the adapter hands on what it gets."""

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        headers = {"204 No Content": ("Content-Type", "a/b"), "302 Found": ("Location", "/x")}
        start_response(status, [headers.get(status, ("Content-Length", "7"))])
        return []

    call(at_home(answer))
    assert complaints.take() == []


def test_close_that_is_not_called_is_a_complaint() -> None:
    """PEP 3333, "Specification Details": the server must call it."""
    call(at_home(greet), close=False)
    assert any("was not called" in said for said in complaints.take())
    assert complaints.quiet


def test_close_that_is_called_twice_is_a_complaint() -> None:
    """It belongs to one request's end."""
    chunks = at_home(greet)(environ(), lambda *args: lambda data: None)
    chunks.close()
    chunks.close()
    assert any("called twice" in said for said in complaints.take())


def test_exchange_that_goes_on_is_waited_for_and_then_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to /complaints comes when nobody can say anything more."""
    monkeypatch.setattr(validators, "_PATIENCE", 0.0)
    chunks = at_home(greet)(environ(), lambda *args: lambda data: None)
    (body,) = validators.complaints_wsgi({}, lambda *args: None)
    assert "1 exchanges have not ended" in json.loads(body)[0]
    assert b"".join(chunks) == b"hello"
    chunks.close()
    (body,) = validators.complaints_wsgi({}, lambda *args: None)
    assert json.loads(body) == []


def test_what_a_server_does_wrong_is_mended_for_the_validators_only() -> None:
    """Werkzeug's REMOTE_PORT is a number, and an adapter has to live with it."""
    got: list[Any] = []

    def look(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        got.extend([environ["REMOTE_PORT"], environ["HTTP_CONTENT_TYPE"], "compat_matrix.mended" in environ])
        return greet(environ, start_response)

    call(at_home(look), REMOTE_PORT=1234, HTTP_CONTENT_TYPE="a/b")
    assert complaints.take() == []
    assert got == [1234, "a/b", False]


# -- both sides of an adapter -----------------------------------------------------------------------------------------

Scope = dict[str, Any]


def scope(**more: Any) -> Scope:
    """Return what a server gives."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        **more,
    }


async def receive() -> dict[str, Any]:
    """Give an empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: dict[str, Any]) -> None:
    """Take anything."""


def start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """Return a start message."""
    return {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"a/b"), *headers]}


def adapted(*messages: dict[str, Any]) -> Any:
    """Return an adapter for WSGI applications that sends these messages, whatever the application is."""

    def adapt(application: Any) -> Any:
        async def served(scope: Scope, receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)

        return served

    return validated(greet, adapt, "wsgi", bridged=True)


END = {"type": "http.response.body", "body": b"hello"}


@needs_asgion
@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        pytest.param([], "HF-001", id="nothing"),
        pytest.param([END], "HF-002", id="body first"),
        pytest.param([start(), start(), END], "HF-003", id="two starts"),
        pytest.param([start(), END, END], "HF-004", id="after the end"),
        pytest.param([start((b"X-Capital", b"x")), END], "HE-009", id="capitals"),
        pytest.param([start((b"content-length", b"7")), END], "SEM-003", id="wrong length"),
    ],
)
def test_asgion_hears_what_an_adapter_sends(messages: list[dict[str, Any]], rule: str) -> None:
    """ASGI HTTP specification, "Response Start" and "Response Body"."""
    asyncio.run(adapted(*messages)(scope(), receive, send))
    assert any(f" {rule} " in said for said in complaints.take())


@needs_asgion
@pytest.mark.parametrize(
    ("request_scope", "messages"),
    [
        pytest.param({}, [start(), END], id="right"),
        pytest.param({"server": ("127.0.0.1", "80")}, [start(), END], id="a port of the server's that is text"),
        pytest.param({"method": "HEAD"}, [start((b"content-length", b"7")), {**END, "body": b""}], id="HEAD"),
        pytest.param({}, [start((b"set-cookie", b"a=1")), END], id="cookie without Secure"),
        pytest.param({}, [start(), {**END, "more_body": True}, END], id="streamed"),
    ],
)
def test_what_is_right_or_the_servers_is_no_complaint(request_scope: Scope, messages: list[dict[str, Any]]) -> None:
    """asgion has advice and errors of its own, and knows what servers do."""
    asyncio.run(adapted(*messages)(scope(**request_scope), receive, send))
    assert complaints.take() == []


def bridging(**wrong: Any) -> Any:
    """Return an adapter for ASGI applications that calls them with a scope."""

    def adapt(application: Any) -> Any:
        def served(environ: Any, start_response: Any) -> list[bytes]:
            asyncio.run(application(scope(**wrong), receive, send))
            return greet(environ, start_response)

        return served

    return adapt


async def asgi_greet(scope: Scope, receive: Any, send: Any) -> None:
    """Answer rightly, with capitals that only the application can be told about."""
    await receive()
    await send(start((b"X-Capital", b"x")))
    await send(END)


@needs_asgion
@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        pytest.param({"headers": [(b"Host", b"test")]}, "HS-024", id="capitals"),
        pytest.param({"query_string": ""}, "HS-017", id="text"),
        pytest.param({"client": ("127.0.0.1", "1")}, "HS-025", id="port"),
        pytest.param({}, "", id="right"),
    ],
)
def test_asgion_hears_what_an_adapter_calls_the_application_with(wrong: Scope, rule: str) -> None:
    """ASGI HTTP specification, "HTTP Connection Scope"; what the application sends is not the adapter's."""
    assert call(validated(asgi_greet, bridging(**wrong), "asgi", bridged=True)) == b"hello"
    said = complaints.take()
    assert [f" {rule} " in one for one in said] == ([True] if rule else [])


def test_wsgiref_hears_what_an_adapter_calls_the_application_with() -> None:
    """SERVER_PORT is text, also where the server has told the adapter a number."""

    def adapt(application: Any) -> Any:
        async def served(scope: Scope, receive: Any, send: Any) -> None:
            call(application, SERVER_PORT=80)

        return served

    with pytest.raises(AssertionError):
        asyncio.run(validated(greet, adapt, "wsgi", bridged=True)(scope(), receive, send))
    (said,) = complaints.take()
    assert said.startswith("wsgiref, around the application: Environmental variable SERVER_PORT")


def test_wsgiref_hears_what_an_adapter_answers_with() -> None:
    """Header values have no control characters, whatever the ASGI application has sent."""

    def adapt(application: Any) -> Any:
        def served(environ: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [("X-Split", "a\x00b")])
            return []

        return served

    with pytest.raises(AssertionError):
        call(validated(asgi_greet, adapt, "asgi", bridged=True))
    (said,) = complaints.take()
    assert said.startswith("wsgiref, around the adapter: Bad header value")


def test_lifespan_is_no_exchange_to_wait_for() -> None:
    """It ends with the server."""
    quiet: list[bool] = []

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        quiet.append(complaints.quiet)

    home = validated(application, lambda plain: plain, "asgi", bridged=False)
    asyncio.run(home({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send))
    asyncio.run(home(scope(), receive, send))
    assert quiet == [True, False]
    assert complaints.quiet


# -- helpers of checks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framed", "expected"),
    [
        pytest.param(answers.chunked(b""), b"0\r\n\r\n", id="empty"),
        pytest.param(answers.chunked(b"hello", 4), b"4\r\nhell\r\n1\r\no\r\n0\r\n\r\n", id="two"),
        pytest.param(answers.chunked(b"x" * 16, 16), b"10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n", id="hexadecimal"),
        pytest.param(answers.chunked(b"x", extension=b";a=b"), b"1;a=b\r\nx\r\n0;a=b\r\n\r\n", id="extension"),
        pytest.param(answers.chunked(b"", trailer=b"A: b\r\n"), b"0\r\nA: b\r\n\r\n", id="trailer"),
    ],
)
def test_chunks_are_framed_as_the_standard_has_it(framed: bytes, expected: bytes) -> None:
    """RFC 9112, 7.1."""
    assert framed == expected


def test_values_of_a_list_are_the_same_joined_or_not() -> None:
    """RFC 9110, 5.3, and nothing else: order and values count."""
    assert answers.listed(["1", "2,3"]) == answers.listed(["1 , 2", "3"]) == ["1", "2", "3"]
    assert answers.listed(["2", "1"]) != answers.listed(["1", "2"])


@pytest.mark.parametrize(
    ("got", "where"),
    [(b"abd", "byte 2"), (b"ab", "byte 2"), (b"abcd", "byte 3"), (b"", "byte 0")],
    ids=["changed", "short", "long", "nothing"],
)
def test_bodies_that_differ_fail_with_the_place(got: bytes, where: str) -> None:
    """Eight megabytes in a report help nobody."""
    answers.expect_bytes("body", b"abc", b"abc")
    with pytest.raises(Failed, match=where):
        answers.expect_bytes("body", got, b"abc")


@pytest.mark.parametrize(
    "response",
    [Response(404), Response(200, complete=False)],
    ids=["another status", "broken off"],
)
def test_answer_that_is_not_whole_fails(response: Response) -> None:
    """What a check looks at has to be there."""
    with pytest.raises(Failed):
        answers.whole(response)


@pytest.mark.parametrize("location", ["/x", "http://test/x", "//test/x", "x"])
def test_redirects_are_compared_by_where_they_lead(location: str) -> None:
    """RFC 9110, 10.2.2."""
    assert answers.resolved(Response(302, [("location", location)]), "/a") == "http://test/x"


def test_redirect_without_or_with_two_locations_fails() -> None:
    """There is no such place."""
    for count in (0, 2):
        with pytest.raises(Failed):
            answers.resolved(Response(302, [("location", "/x")] * count), "/a")


Steady = Callable[[Response], Any]


def steady(response: Response) -> Any:
    """Return what of a response is compared."""
    return responses._steady(seen(response))


@pytest.mark.parametrize(
    ("normal", "one", "other", "same"),
    [
        pytest.param(steady, "a=1; expires=Sun, 1", "a=1; expires=Mon, 2", True, id="cookie's date"),
        pytest.param(steady, "a=1; expires=Sun, 1", "a=1", False, id="cookie's date missing"),
        pytest.param(steady, "a=1; Path=/", "a=1; Path=/x", False, id="cookie's path"),
    ],
)
def test_cookies_are_compared_but_for_their_date(normal: Steady, one: str, other: str, same: bool) -> None:
    """Max-Age counts from the request, and so does the date that frameworks derive from it."""
    answers_of = [normal(Response(200, [("set-cookie", value)])) for value in (one, other)]
    assert (answers_of[0] == answers_of[1]) is same


def test_allowed_methods_are_compared_as_a_set() -> None:
    """RFC 9110, 10.2.1; many frameworks have a set."""
    one, other, less = (steady(Response(405, [("allow", value)])) for value in ("GET, HEAD", "HEAD,GET", "GET"))
    assert one == other != less


def test_ranges_are_compared_but_for_their_boundary() -> None:
    """RFC 9110, 14.6: the boundary is anybody's."""
    one, other, wrong = (
        responses._range(
            Response(206, [("content-type", f"multipart/byteranges; boundary={boundary}")], b"--%s\r\n" % body)
        )
        for boundary, body in (("abc", b"abc"), ("xyz", b"xyz"), ("xyz", b"abc"))
    )
    assert one == other != wrong


def test_ids_and_clauses_are_those_of_the_registry() -> None:
    """Each check of these modules is registered, with a rule that names its standard."""
    mine = [check for check in CHECKS.values() if check.id.startswith(("http.request.", "http.body.", "http.forging."))]
    assert len(mine) > 60
    for check in mine:
        assert any(name in check.clause for name in ("RFC", "PEP 3333", "WHATWG")), check.id
        assert check.id == check.id.lower()
