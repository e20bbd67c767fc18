"""What start_response is told, translated: PEP 3333 and RFC 9110 decide what passes, h11 what is well-formed."""

import logging
import re
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.errors import ApplicationError
from bridge.http import HOP_BY_HOP
from bridge.wsgi_to_asgi import response_head
from bridge.wsgi_to_asgi.response_head import can_have_body, translate_head

Headers = list[tuple[str, str]]


class Head(NamedTuple):
    """What translate_head() returns, with names."""

    status: int
    headers: list[tuple[bytes, bytes]]
    length: int | None


def head_of(status: Any, headers: Any) -> Head:
    """What ``start_response(status, headers)`` becomes."""
    return Head(*translate_head(status, headers))


@pytest.fixture(autouse=True)
def _caches_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin as a process does, with nothing learnt and nothing logged."""
    monkeypatch.setattr(response_head, "_statuses", {})
    monkeypatch.setattr(response_head, "_names", {})
    monkeypatch.setattr(response_head, "_pairs", {})
    monkeypatch.setattr(response_head, "_named_in_log", set())


# -- status ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "status"), [("200 OK", 200), ("404 Not Found", 404), ("299 ", 299), ("418 I'm a teapot", 418)]
)
def test_status_line_becomes_its_code(line: str, status: int) -> None:
    """ASGI HTTP specification, "Response Start": an integer; the phrase is the server's affair."""
    assert head_of(line, []).status == status


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param("200", id="no phrase and no space"),
        pytest.param("OK", id="no code"),
        pytest.param("2000 OK", id="four digits"),
        pytest.param("200 OK\r\nX-Evil: 1", id="CR LF"),
        pytest.param("200 O\0K", id="NUL"),
        pytest.param(b"200 OK", id="bytes"),
        pytest.param(200, id="number"),
        pytest.param(None, id="None"),
        pytest.param(["200 OK"], id="list"),
    ],
)
def test_malformed_status_line_is_the_applications_error(line: Any) -> None:
    """PEP 3333, "The start_response() Callable": a str of the form "999 Message here"."""
    with pytest.raises(ApplicationError, match="status"):
        head_of(line, [])


@pytest.mark.parametrize("line", ["100 Continue", "101 Switching Protocols", "103 Early Hints", "199 "])
def test_interim_status_is_refused(line: str) -> None:
    """RFC 9110, 15.2: 1xx comes before the answer and is never the answer."""
    with pytest.raises(ApplicationError, match=f"{line}.*interim"):
        head_of(line, [])


def test_refused_status_line_is_refused_again() -> None:
    """What is remembered of status lines are the good ones."""
    for _ in range(2):
        with pytest.raises(ApplicationError):
            head_of("100 Continue", [])


# -- headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "translated"),
    [
        pytest.param([], [], id="none"),
        pytest.param([("Content-Type", "text/plain")], [(b"content-type", b"text/plain")], id="lower case"),
        pytest.param([("X-A", "  a b\t")], [(b"x-a", b"a b")], id="white space around the value"),
        pytest.param([("X-A", "")], [(b"x-a", b"")], id="empty value"),
        pytest.param([("X-A", "caf\xe9\xff")], [(b"x-a", b"caf\xe9\xff")], id="latin-1"),
        pytest.param([("x_a!~", "1")], [(b"x_a!~", b"1")], id="any token"),
        pytest.param(
            [("Set-Cookie", "a=1"), ("X-A", "1"), ("set-cookie", "b=2"), ("Set-Cookie", "a=1")],
            [(b"set-cookie", b"a=1"), (b"x-a", b"1"), (b"set-cookie", b"b=2"), (b"set-cookie", b"a=1")],
            id="repeated, in order",
        ),
    ],
)
def test_headers_become_bytes_in_their_order(headers: Headers, translated: list[tuple[bytes, bytes]]) -> None:
    """ASGI HTTP specification, "Response Start": lower-case names, order kept; Set-Cookie is never joined."""
    assert head_of("200 OK", headers).headers == translated


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(("", "1"), id="empty name"),
        pytest.param(("X A", "1"), id="space in the name"),
        pytest.param(("X-A:", "1"), id="colon in the name"),
        pytest.param(("X-A\r\nX-B", "1"), id="CR LF in the name"),
        pytest.param(("X-A\n", "1"), id="LF at the end of the name"),
        pytest.param(("X\0A", "1"), id="NUL in the name"),
        pytest.param(("X-\xe9", "1"), id="name not ASCII"),
        pytest.param(("X-A", "1\r\nX-B: 2"), id="CR LF in the value"),
        pytest.param(("X-A", "1\n"), id="LF at the end of the value"),
        pytest.param(("X-A", "\r"), id="CR is the value"),
        pytest.param(("X-A", "1\0"), id="NUL in the value"),
        pytest.param(("X-A", "\u20ac"), id="value beyond latin-1"),
    ],
)
def test_bad_header_is_the_applications_error(header: tuple[str, str]) -> None:
    """PEP 3333: no control characters; RFC 9110, 5.6.2: names are tokens. The message shows which header it is."""
    bad = header[1] if header[0] == "X-A" else header[0]
    with pytest.raises(ApplicationError, match=re.escape(repr(bad))):
        head_of("200 OK", [("X-Good", "1"), header])


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("X-A", 1)], id="value is a number"),
        pytest.param([("X-A", None)], id="value is None"),
        pytest.param([("X-A", b"1")], id="value is bytes"),
        pytest.param([(b"X-A", "1")], id="name is bytes"),
        pytest.param([(["X-A"], "1")], id="name is a list"),
        pytest.param([("X-A", "1", "2")], id="three parts"),
        pytest.param([("X-A",)], id="one part"),
        pytest.param(["X-A: 1"], id="lines"),
        pytest.param([None], id="no pair"),
        pytest.param(None, id="None"),
    ],
)
def test_what_is_no_list_of_pairs_of_text_is_the_applications_error(headers: Any) -> None:
    """PEP 3333: "a list of (header_name, header_value) tuples", both of type str."""
    with pytest.raises(ApplicationError, match="header"):
        head_of("200 OK", headers)


# -- headers of the connection --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_header_is_dropped_and_named_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """PEP 3333, "Other HTTP Features" forbids them; applications that run well elsewhere send them."""
    for spelling in (name, name.title(), name.upper(), name):
        assert head_of("200 OK", [(spelling, "x"), ("X-A", "1")]).headers == [(b"x-a", b"1")]

    assert [(record.name, record.levelname) for record in caplog.records] == [("bridge", "WARNING")]
    assert name in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Connection", "x-a, close"), ("X-A", "1"), ("X-B", "2")], id="before"),
        pytest.param([("X-A", "1"), ("X-B", "2"), ("Connection", "close,X-A")], id="after, other case"),
        pytest.param(
            [("Connection", "X-a"), ("X-A", "1"), ("Connection", "close"), ("X-B", "2")], id="two Connections"
        ),
        pytest.param([("X-A", "1"), ("x-a", "2"), ("X-B", "2"), ("Connection", " x-a ,")], id="repeated header"),
    ],
)
def test_headers_that_connection_names_are_dropped(headers: Headers, caplog: pytest.LogCaptureFixture) -> None:
    """RFC 9110, 7.6.1: they belong to the connection as well."""
    for _ in range(2):
        assert head_of("200 OK", headers).headers == [(b"x-b", b"2")]

    assert sorted(str(record.args[0]).lower() for record in caplog.records if isinstance(record.args, tuple)) == [
        "connection",
        "x-a",
    ]


# -- Content-Length -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "length"),
    [
        pytest.param([], None, id="none"),
        pytest.param(["0"], 0, id="zero"),
        pytest.param(["5"], 5, id="one"),
        pytest.param([" 5 "], 5, id="white space around"),
        pytest.param(["5", "5"], 5, id="two equal"),
        pytest.param(["5, 5"], 5, id="list of equal ones"),
    ],
)
def test_content_length_leaves_once_as_one_number(values: list[str], length: int | None) -> None:
    """RFC 9110, 8.6: "MUST NOT forward" anything else; Uvicorn would call int() on it."""
    head = head_of("200 OK", [("Content-Length", value) for value in values])

    assert head.length == length
    assert head.headers == ([] if length is None else [(b"content-length", b"%d" % length)])


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["5", "6"], id="two different"),
        pytest.param(["5,6"], id="list of different ones"),
        pytest.param(["-5"], id="negative"),
        pytest.param(["5.0"], id="fraction"),
        pytest.param(["five"], id="word"),
        pytest.param([""], id="empty"),
    ],
)
def test_malformed_content_length_is_the_applications_error(values: list[str]) -> None:
    """RFC 9110, 8.6: 1*DIGIT, and a single value."""
    with pytest.raises(ApplicationError, match="Content-Length"):
        head_of("200 OK", [("Content-Length", value) for value in values])


@pytest.mark.parametrize(("line", "length"), [("204 No Content", None), ("304 Not Modified", 5), ("200 OK", 5)])
def test_content_length_is_dropped_from_204_only(line: str, length: int | None) -> None:
    """RFC 9110, 8.6: never in a 204; in a 304 it is the length that a 200 would have had."""
    head = head_of(line, [("Content-Length", "5"), ("X-A", "1")])

    assert (head.length, (b"content-length", b"5") in head.headers) == (length, length is not None)
    assert (b"x-a", b"1") in head.headers


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("GET", 200, True),
        ("POST", 404, True),
        ("HEAD", 200, False),
        ("HEAD", 404, False),
        ("GET", 204, False),
        ("GET", 304, False),
        ("head", 200, True),
    ],
)
def test_answer_to_head_has_no_body(method: str, status: int, expected: bool) -> None:
    """RFC 9110, 6.4.1; method names are case-sensitive (9.1)."""
    assert can_have_body(method, status) is expected


# -- the whole ------------------------------------------------------------------------------------------------


def test_what_applications_make_up_does_not_fill_memory(caplog: pytest.LogCaptureFixture) -> None:
    """DESIGN.md, "Rules": every cache has a limit. Beyond it the translation is the same."""
    caplog.set_level(logging.ERROR)
    for number in range(2000):
        head_of(f"200 {number}", [(f"X-{number}", "1"), ("Connection", f"X-{number}"), ("Vary", f"X-{number}")])

    sizes = [len(response_head._statuses), len(response_head._names), len(response_head._named_in_log)]
    assert max(*sizes, len(response_head._pairs)) <= response_head._CACHE_LIMIT
    assert head_of("201 New", [("X-New", "1"), ("Te", "x")]) == (201, [(b"x-new", b"1")], None)


TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", min_size=1, max_size=8)
NAME = st.one_of(st.sampled_from(["Content-Length", "Set-Cookie", "X-A"]), TOKEN, st.text(max_size=4)).filter(
    lambda name: name.lower() not in HOP_BY_HOP  # those are logged
)
VALUE = st.one_of(
    st.integers(0, 9).map(str), st.text(st.characters(max_codepoint=0xFF), max_size=8), st.text(max_size=4)
)
STATUS = st.one_of(
    st.builds("{} {}".format, st.integers(0, 1100), st.text(st.characters(max_codepoint=0xFF), max_size=4)),
    st.text(max_size=8),
)


@settings(deadline=None)
@given(line=STATUS, headers=st.lists(st.tuples(NAME, VALUE), max_size=5))
@example(line="200 OK", headers=[("X-A", "\x0b")])
@example(line="200 OK", headers=[("Content-Length", "5, 5")])
def test_any_text_gives_a_well_formed_head_or_an_application_error(line: str, headers: Headers) -> None:
    """h11, which refuses what is not HTTP, takes every head; nothing but ApplicationError is raised."""
    try:
        head = head_of(line, headers)
    except ApplicationError:
        return
    response = h11.Response(status_code=head.status, headers=head.headers)

    assert response.headers.raw_items() == head.headers
