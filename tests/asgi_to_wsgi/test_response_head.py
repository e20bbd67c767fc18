"""http.response.start, translated: ASGI and RFC 9110 decide what passes, wsgiref and h11 what is well-formed."""

import http
import logging
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.asgi_to_wsgi import response_head
from bridge.asgi_to_wsgi.response_head import translate_start
from bridge.errors import ApplicationError
from bridge.http import HOP_BY_HOP

Pairs = Iterable[tuple[bytes, bytes]]


class Head(NamedTuple):
    """What translate_start() returns, with names."""

    code: int
    line: str
    headers: list[tuple[str, str]]
    length: int | None


def head_of(status: Any = 200, headers: Any = (), **rest: Any) -> Head:
    """What ``http.response.start`` with *status* and *headers* becomes."""
    return Head(*translate_start({"type": "http.response.start", "status": status, "headers": headers, **rest}))


@pytest.fixture(autouse=True)
def _caches_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin as a process does, with nothing learnt and nothing logged."""
    monkeypatch.setattr(response_head, "_names", {})
    monkeypatch.setattr(response_head, "_pairs", {})
    monkeypatch.setattr(response_head, "_named_in_log", set())


# -- status ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, "200 OK"),
        (404, "404 Not Found"),
        (503, "503 Service Unavailable"),
        (299, "299 Unknown"),
        (999, "999 Unknown"),
        (http.HTTPStatus.CREATED, "201 Created"),
    ],
)
def test_status_becomes_a_line(status: int, line: str) -> None:
    """PEP 3333, "The start_response() Callable": "999 Message here"; RFC 9110, 15 has the phrases."""
    head = head_of(status)

    assert (head.code, head.line, type(head.code)) == (status, line, int)


@pytest.mark.parametrize(
    "status",
    ["200", "200 OK", b"200", 200.0, None, [200], -200, 0, 1, 99, 100, 101, 103, 199, 1000, True],
    ids=repr,
)
def test_status_that_is_none_is_the_applications_error(status: object) -> None:
    """ASGI HTTP specification, "Response Start": an int; RFC 9110, 15: three digits; 15.2: 1xx is no answer."""
    with pytest.raises(ApplicationError, match=rf"status.*{re.escape(repr(status))}"):
        head_of(status)


def test_missing_status_is_the_applications_error() -> None:
    """ASGI HTTP specification, "Response Start": the one key without a default."""
    with pytest.raises(ApplicationError, match="status"):
        translate_start({"type": "http.response.start"})


@pytest.mark.parametrize("headers", [{}, {"headers": None}, {"headers": []}], ids=["missing", "None", "empty"])
def test_headers_are_optional(headers: dict[str, Any]) -> None:
    """ASGI HTTP specification, "Response Start": "Optional; if missing defaults to an empty list"."""
    assert translate_start({"type": "http.response.start", "status": 200, **headers}) == (200, "200 OK", [], None)


def test_trailers_are_refused() -> None:
    """ASGI extension "HTTP Trailers": only where the scope offers it."""
    assert head_of(trailers=False).code == 200
    with pytest.raises(ApplicationError, match="trailers"):
        head_of(trailers=True)


# -- headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "translated"),
    [
        pytest.param([(b"content-type", b"a/b")], [("content-type", "a/b")], id="one"),
        pytest.param([(b"X-CaMeL", b"1")], [("X-CaMeL", "1")], id="case is kept"),
        pytest.param([[b"x-a", b"1"]], [("x-a", "1")], id="list"),
        pytest.param([(bytearray(b"x-a"), bytearray(b"1"))], [("x-a", "1")], id="bytearray"),
        pytest.param([(b"content-type", memoryview(b"a/b"))], [("content-type", "a/b")], id="memoryview"),
        pytest.param(iter([(b"x-a", b"1")]), [("x-a", "1")], id="iterator"),
        pytest.param({b"x-a": b"1"}.items(), [("x-a", "1")], id="items of a dictionary"),
        pytest.param([(b"x-a", b"  a b\t")], [("x-a", "a b")], id="white space around the value"),
        pytest.param([(b"x-a", b"a\tb")], [("x-a", "a\tb")], id="tab in the value"),
        pytest.param([(b"x-a", b"")], [("x-a", "")], id="empty value"),
        pytest.param([(b"x-a", b"caf\xc3\xa9\xff")], [("x-a", "caf\xc3\xa9\xff")], id="native string"),
        pytest.param([(b"x_a!~", b"1")], [("x_a!~", "1")], id="any token"),
        pytest.param(
            [(b"set-cookie", b"a=1"), (b"x-a", b"1"), (b"Set-Cookie", b"b=2"), (b"set-cookie", b"a=1")],
            [("set-cookie", "a=1"), ("x-a", "1"), ("Set-Cookie", "b=2"), ("set-cookie", "a=1")],
            id="repeated, in order",
        ),
    ],
)
def test_headers_become_native_strings_in_their_order(headers: Pairs, translated: list[tuple[str, str]]) -> None:
    """PEP 3333, "Unicode Issues"; Set-Cookie is never joined (RFC 9110, 5.3)."""
    assert head_of(headers=headers).headers == translated


def test_known_header_is_translated_as_it_was_the_first_time() -> None:
    """What is remembered of headers says the same."""
    headers = [(b"content-type", b" a/b"), (b"content-length", b"05")]

    assert head_of(headers=headers) == head_of(headers=headers)
    assert head_of(headers=headers).headers == [("content-type", "a/b"), ("content-length", "5")]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param((b"", b"1"), id="empty name"),
        pytest.param((b"X A", b"1"), id="space in the name"),
        pytest.param((b"X-A:", b"1"), id="colon in the name"),
        pytest.param((b"X-A\r\nX-B", b"1"), id="CR LF in the name"),
        pytest.param((b"X-A\n", b"1"), id="LF at the end of the name"),
        pytest.param((b"X\0A", b"1"), id="NUL in the name"),
        pytest.param((b"X-\xe9", b"1"), id="name not ASCII"),
        pytest.param((b"X-A", b"1\r\nX-B: 2"), id="CR LF in the value"),
        pytest.param((b"X-A", b"1\n"), id="LF at the end of the value"),
        pytest.param((b"X-A", b"\r"), id="CR is the value"),
        pytest.param((b"X-A", b"1\0"), id="NUL in the value"),
        pytest.param((b"X-A", b"\x7f"), id="DEL in the value"),
        pytest.param((b"Content-Type", b"a/b\n"), id="in a header of few values"),
    ],
)
def test_bad_header_is_the_applications_error(header: tuple[bytes, bytes]) -> None:
    """RFC 9110, 5.5 and 5.6.2. The message names the header, and again when it comes again."""
    name = header[0].decode("latin-1")
    shown = repr(name) if header[1] == b"1" else f"{name}: "
    for _ in range(2):
        with pytest.raises(ApplicationError, match=re.escape(shown)):
            head_of(headers=[(b"x-good", b"1"), header])


@pytest.mark.parametrize("header", [("x-a", b"1"), (b"x-a", "1"), ("x-a", "1"), ["content-type", "a/b"], "ab"])
def test_text_is_refused_with_the_remedy(header: Any) -> None:
    """ASGI HTTP specification, "Response Start": byte strings. It is the mistake most often made."""
    with pytest.raises(ApplicationError, match="encode it"):
        head_of(headers=[header])


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"x-a", 1)], id="value is a number"),
        pytest.param([(b"x-a", 0)], id="value is zero"),
        pytest.param([(b"x-a", None)], id="value is None"),
        pytest.param([(None, b"1")], id="name is None"),
        pytest.param([([b"x-a"], b"1")], id="name is a list"),
        pytest.param([(b"x-a", b"1", b"2")], id="three parts"),
        pytest.param([(b"x-a",)], id="one part"),
        pytest.param([b"x-a: 1"], id="lines"),
        pytest.param([None], id="no pair"),
        pytest.param({b"x-a": b"1"}, id="dictionary"),
        pytest.param(5, id="no iterable"),
    ],
)
def test_what_is_no_iterable_of_pairs_of_bytes_is_the_applications_error(headers: Any) -> None:
    """ASGI HTTP specification, "Response Start": an iterable of [name, value] two-item iterables."""
    with pytest.raises(ApplicationError, match="header"):
        head_of(headers=headers)


# -- headers of the connection --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_header_is_dropped_and_named_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """PEP 3333, "Other HTTP Features" forbids them, and wsgiref's server ends in an assertion."""
    for spelling in (name, name.title(), name.upper(), name):
        assert head_of(headers=[(spelling.encode(), b"x"), (b"x-a", b"1")]).headers == [("x-a", "1")]

    assert [(record.name, record.levelname) for record in caplog.records] == [("bridge", "WARNING")]
    assert name in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"connection", b"x-a, close"), (b"x-a", b"1"), (b"x-b", b"2")], id="before"),
        pytest.param([(b"X-A", b"1"), (b"x-b", b"2"), (b"Connection", b"close,X-a")], id="after, other case"),
        pytest.param(
            [(b"connection", b"X-a"), (b"x-a", b"1"), (b"connection", b"close"), (b"x-b", b"2")], id="two Connections"
        ),
        pytest.param([(b"x-a", b"1"), (b"X-A", b"2"), (b"x-b", b"2"), (b"connection", b" x-a ,")], id="repeated"),
    ],
)
def test_headers_that_connection_names_are_dropped(headers: Pairs, caplog: pytest.LogCaptureFixture) -> None:
    """RFC 9110, 7.6.1: they belong to the connection as well."""
    for _ in range(2):
        assert head_of(headers=headers).headers == [("x-b", "2")]

    assert sorted(str(record.args[0]).lower() for record in caplog.records if isinstance(record.args, tuple)) == [
        "connection",
        "x-a",
    ]


@pytest.mark.usefixtures("caplog")
def test_bad_connection_header_is_the_applications_error() -> None:
    """RFC 9110, 5.5: what its value names is dropped, so the value has to be one."""
    with pytest.raises(ApplicationError, match="Connection: "):
        head_of(headers=[(b"Connection", b"x-a\n")])


# -- Content-Length -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "length"),
    [
        pytest.param([], None, id="none"),
        pytest.param([b"0"], 0, id="zero"),
        pytest.param([b"5"], 5, id="one"),
        pytest.param([b" 5 "], 5, id="white space around"),
        pytest.param([b"5", b"05"], 5, id="two equal"),
        pytest.param([b"5, 5"], 5, id="list of equal ones"),
    ],
)
def test_content_length_leaves_once_as_one_number(values: list[bytes], length: int | None) -> None:
    """RFC 9110, 8.6: "MUST NOT forward" anything else."""
    for _ in range(2):
        head = head_of(headers=[(b"content-length", value) for value in values])

        assert head.length == length
        assert head.headers == ([] if length is None else [("content-length", str(length))])


def test_content_length_is_known_in_any_case() -> None:
    """RFC 9110, 5.1: field names are case-insensitive."""
    head = head_of(headers=[(b"CONTENT-Length", b"5"), (b"content-length", b"5")])

    assert (head.headers, head.length) == ([("CONTENT-Length", "5")], 5)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([b"5", b"6"], id="two different"),
        pytest.param([b"5,6"], id="list of different ones"),
        pytest.param([b"-5"], id="negative"),
        pytest.param([b"-1"], id="minus one"),
        pytest.param([b"5.0"], id="fraction"),
        pytest.param([b"five"], id="word"),
        pytest.param([b""], id="empty"),
    ],
)
def test_malformed_content_length_is_the_applications_error(values: list[bytes]) -> None:
    """RFC 9110, 8.6: 1*DIGIT, and a single value."""
    with pytest.raises(ApplicationError, match="Content-Length"):
        head_of(headers=[(b"content-length", value) for value in values])


@pytest.mark.parametrize(("status", "length"), [(204, None), (304, 5), (200, 5)])
def test_content_length_is_dropped_from_204_only(status: int, length: int | None) -> None:
    """RFC 9110, 8.6: never in a 204; in a 304 it is the length that a 200 would have had."""
    for _ in range(2):
        head = head_of(status, [(b"content-length", b"5"), (b"x-a", b"1")])

        assert (head.length, ("content-length", "5") in head.headers) == (length, length is not None)
        assert ("x-a", "1") in head.headers


# -- the whole ------------------------------------------------------------------------------------------------


def test_what_applications_make_up_does_not_fill_memory(caplog: pytest.LogCaptureFixture) -> None:
    """DESIGN.md, "Rules": every cache has a limit. Beyond it the translation is the same."""
    caplog.set_level(logging.ERROR)
    for number in range(2000):
        name = b"x-%d" % number
        head_of(headers=[(name, b"1"), (b"connection", name), (b"vary", name), (b"content-length", b"%d" % number)])

    sizes = [len(response_head._names), len(response_head._pairs), len(response_head._named_in_log)]
    assert max(sizes) <= response_head._CACHE_LIMIT
    assert head_of(201, [(b"x-new", b"1"), (b"te", b"x")]) == (201, "201 Created", [("x-new", "1")], None)


def test_lengths_leave_room_for_other_headers() -> None:
    """Every response may have a length of its own, and must not cost all others their translation."""
    for number in range(2000):
        head_of(headers=[(b"content-length", b"%d" % number)])
    head_of(headers=[(b"content-type", b"a/b")])

    assert (b"content-type", b"a/b") in response_head._pairs


TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", min_size=1, max_size=8).map(str.encode)
NAME = st.one_of(st.sampled_from([b"content-length", b"set-cookie", b"x-a"]), TOKEN, st.binary(max_size=4)).filter(
    lambda name: name.lower().decode("latin-1") not in HOP_BY_HOP  # those are logged
)
VALUE = st.integers(0, 9).map(lambda number: b"%d" % number) | st.binary(max_size=8)


@settings(deadline=None)
@given(status=st.integers(0, 1100), headers=st.lists(st.tuples(NAME, VALUE), max_size=5))
@example(status=200, headers=[(b"x-a", b"\x0b")])
@example(status=200, headers=[(b"content-length", b"5, 5")])
def test_any_bytes_give_a_well_formed_head_or_an_application_error(
    status: int, headers: list[tuple[bytes, bytes]]
) -> None:
    """h11, which refuses what is not HTTP, takes every head; nothing but ApplicationError is raised."""
    try:
        head = head_of(status, headers)
    except ApplicationError:
        return
    raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in head.headers]
    response = h11.Response(status_code=head.code, headers=raw, reason=head.line[4:])

    assert response.headers.raw_items() == raw
    assert re.fullmatch(rf"{status} [ -~]+", head.line)
