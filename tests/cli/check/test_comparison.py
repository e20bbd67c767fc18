"""What counts as a difference between two answers, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.cli.check.comparison import Varying, compare, in_each
from bridge.cli.check.model import Answer, Difference, Request

GET = Request("GET", "/", ())


def answer(*headers: tuple[str, str], **rest: Any) -> Answer:
    parts: dict[str, Any] = {"status": 200, "headers": list(headers), "body": b"hello", "complete": True}
    return Answer(**parts | rest)


def found(native: Answer, bridged: Answer, *others: Answer) -> list[tuple[str, str, str, str]]:
    """Compare, where *others* are further native answers."""
    differences, _ = compare(GET, native, bridged, Varying([native, *others]))
    return [(one.part, one.name, one.native, one.bridged) for one in differences]


@pytest.mark.parametrize(
    ("native", "bridged", "expected"),
    [
        pytest.param(answer(), answer(status=500), ("status", "", "200", "500"), id="status"),
        pytest.param(answer(("x", "1")), answer(), ("header", "x", "1", "none"), id="header lost"),
        pytest.param(answer(), answer(("x", "1")), ("header", "x", "none", "1"), id="header added"),
        pytest.param(answer(("x", "1"), ("x", "2")), answer(("x", "1")), ("header", "x", "1, 2", "1"), id="one of two"),
        pytest.param(answer(), answer(error="KeyError: 'x'"), ("error", "", "none", "KeyError: 'x'"), id="error"),
        pytest.param(answer(), answer(("content-length", "6")), ("header", "content-length", "none", "6"), id="length"),
    ],
)
def test_a_difference_is_told_with_both_values(native: Answer, bridged: Answer, expected: tuple[str, ...]) -> None:
    """Status, each header by its name with its values in their order, an error of one side."""
    assert found(native, bridged) == [expected]


def test_bodies_differ_from_the_first_other_byte_on() -> None:
    """Where they part is told, and not the whole of them."""
    ((part, _, native, bridged),) = found(answer(), answer(body=b"help!"))
    assert (part, native, bridged) == (
        "body",
        "5 bytes, from byte 3 on: b'lo'",
        "5 bytes, from byte 3 on: b'p!'",
    )


@pytest.mark.parametrize(
    ("native", "bridged"),
    [
        pytest.param(answer(("date", "Mon")), answer(("date", "Tue")), id="Date"),
        pytest.param(answer(("a", "1"), ("b", "2")), answer(("b", "2"), ("a", "1")), id="order of different headers"),
        pytest.param(answer(), answer(("content-length", "5")), id="the right length is added"),
        pytest.param(answer(("keep-alive", "5")), answer(), id="a header of the connection is dropped"),
        pytest.param(answer(("connection", "X"), ("x", "1")), answer(), id="and one that Connection names"),
        pytest.param(
            answer(("content-length", "0"), status=204, body=b""), answer(status=204, body=b""), id="no length with 204"
        ),
        pytest.param(answer(chunks=3), answer(chunks=1), id="chunks are joined"),
        pytest.param(answer(cut=True), answer(body=b"hello, world", cut=True), id="as far as both were read"),
    ],
)
def test_what_may_differ_is_no_difference(native: Answer, bridged: Answer) -> None:
    """HTTP gives it no meaning, or has the bridge do it."""
    assert found(native, bridged) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(answer(("etag", "1")), answer(("etag", "2")), id="header"),
        pytest.param(answer(("set-cookie", "s=1")), answer(), id="header that comes and goes"),
        pytest.param(
            answer(("content-length", "5")), answer(("content-length", "2"), body=b"hi"), id="body and length"
        ),
        pytest.param(answer(), answer(status=429), id="status"),
    ],
)
def test_what_differs_between_native_answers_is_not_compared(first: Answer, second: Answer) -> None:
    """Whatever the bridge's answer has there."""
    assert found(first, second, second) == []


def test_the_length_that_is_added_to_a_body_that_varies_is_not_compared() -> None:
    """It is that of another body, and right."""
    assert found(answer(), answer(("content-length", "2"), body=b"hi"), answer(body=b"hello, world")) == []


def test_the_body_of_an_answer_to_head_is_not_compared() -> None:
    """RFC 9110, 9.3.2: it has none; servers take away what an application sends."""
    differences, _ = compare(Request("HEAD", "/", ()), answer(), answer(body=b""), Varying([answer()]))
    assert differences == []


def test_only_what_differs_each_time_counts() -> None:
    """What one answer of several has was a chance."""
    lasting, chance = (Difference("/", "GET", "", "header", name, "1", "2") for name in ("x", "y"))
    assert in_each([[lasting, chance], [lasting]]) == [lasting]


def test_an_identifier_that_comes_back_is_no_difference() -> None:
    """Requests at once have identifiers of their own, by which answers that were mixed up are seen."""
    request = Request("GET", "/", (), number=7)
    echoed = answer(("x-request-id", "bridge-check-007"), body=b"bridge-check-007").without_id(request)
    assert (echoed.header("x-request-id"), echoed.body) == (["bridge-check-000"], b"bridge-check-000")
    mixed_up = answer(body=b"bridge-check-008").without_id(request)
    assert mixed_up.body == b"bridge-check-008"
