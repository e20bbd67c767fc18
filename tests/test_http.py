"""The rules of HTTP in bridge.http, each against the standard that makes it."""

import re
from wsgiref.util import is_hop_by_hop

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.http import HOP_BY_HOP, encode_name, encode_value, has_body, parse_content_length, parse_status

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param("200 OK", 200, id="plain"),
        pytest.param("404 Not Found", 404, id="phrase of two words"),
        pytest.param("299 ", 299, id="empty phrase"),
        pytest.param("200 a\tb", 200, id="tab in the phrase"),
        pytest.param("200 D\xe9j\xe0 vu", 200, id="obs-text in the phrase"),
        pytest.param("999 Beyond", 999, id="no registered class"),
    ],
)
def test_status_line_is_three_digits_a_space_and_a_phrase(line: str, status: int) -> None:
    """PEP 3333: "a status string of the form '999 Message here'"; RFC 9112, 4: the phrase may be empty."""
    assert parse_status(line) == status


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param("200", id="no space"),
        pytest.param("20 OK", id="two digits"),
        pytest.param("2000 OK", id="four digits"),
        pytest.param("099 Low", id="leading zero"),
        pytest.param("OK 200", id="words first"),
        pytest.param(" 200 OK", id="leading space"),
        pytest.param("200\tOK", id="tab instead of the space"),
        pytest.param("+20 OK", id="sign"),
        pytest.param("２００ OK", id="digits that are not ASCII"),
        pytest.param("200 OK\r\nX-Evil: 1", id="CR LF and a header"),
        pytest.param("200 OK\n", id="LF at the end"),
        pytest.param("200 O\0K", id="NUL"),
        pytest.param("200 O\x7fK", id="DEL"),
        pytest.param("200 \u20ac", id="beyond U+00FF"),
    ],
)
def test_malformed_status_line_is_refused(line: str) -> None:
    """PEP 3333: no control characters in the status, "not terminated by a carriage return or linefeed"."""
    with pytest.raises(ValueError, match=re.escape(repr(line))):
        parse_status(line)


@pytest.mark.parametrize("character", TOKEN_CHARACTERS)
def test_every_token_character_may_stand_in_a_name(character: str) -> None:
    """RFC 9110, 5.6.2: tchar."""
    assert encode_name(f"X{character}") == f"x{character}".lower().encode("ascii")


@pytest.mark.parametrize("form", ["{}", "X{}", "{}X", "X{}X"])
def test_no_other_character_may_stand_in_a_name(form: str) -> None:
    """RFC 9110, 5.1: field-name = token."""
    for character in set(map(chr, [*range(0x250), 0x2028, 0xFF11, 0xD800])) - set(TOKEN_CHARACTERS):
        with pytest.raises(ValueError, match="token"):
            encode_name(form.format(character))


def test_empty_name_is_refused() -> None:
    """RFC 9110, 5.6.2: token = 1*tchar."""
    with pytest.raises(ValueError, match="token"):
        encode_name("")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        pytest.param("", b"", id="empty"),
        pytest.param("text/plain", b"text/plain", id="ASCII"),
        pytest.param("caf\xe9 \xff\x80", b"caf\xe9 \xff\x80", id="one byte a character"),
        pytest.param("  a  b\t ", b"a  b", id="white space around"),
        pytest.param(" \t ", b"", id="white space only"),
        pytest.param("\xa0a\xa0", b"\xa0a\xa0", id="no-break space is a byte of the value"),
    ],
)
def test_value_is_its_latin_1_bytes_without_white_space_around(value: str, encoded: bytes) -> None:
    """RFC 9110, 5.5: "a field value does not include leading or trailing whitespace"; PEP 3333: latin-1."""
    assert encode_value(value) == encoded


@pytest.mark.parametrize(
    "control",
    [
        pytest.param("\r", id="CR"),
        pytest.param("\n", id="LF"),
        pytest.param("\0", id="NUL"),
        pytest.param("\x0b", id="VT"),
        pytest.param("\x0c", id="FF"),
        pytest.param("\x1b", id="ESC"),
        pytest.param("\x7f", id="DEL"),
    ],
)
def test_control_characters_in_a_value_are_refused(control: str) -> None:
    """PEP 3333: a value "must not include any control characters"; RFC 9110, 5.5: no field-content has one."""
    for value in (control, f"a{control}b", f"{control}a", f"a{control}"):
        with pytest.raises(ValueError, match=re.escape(repr(value))):
            encode_value(value)


@pytest.mark.parametrize("value", ["\u0100", "\u20ac 5", "\ud800"])
def test_value_beyond_latin_1_is_refused(value: str) -> None:
    """PEP 3333, "Unicode Issues": code points U+0000 to U+00FF."""
    with pytest.raises(ValueError, match=re.escape(repr(value))):
        encode_value(value)


@pytest.mark.parametrize(
    ("status", "expected"), [(200, True), (404, True), (500, True), (206, True), (204, False), (304, False)]
)
def test_204_and_304_have_no_body(status: int, expected: bool) -> None:
    """RFC 9110, 6.4.1."""
    assert has_body(status) is expected


@pytest.mark.parametrize(
    ("value", "length"),
    [
        pytest.param("0", 0, id="zero"),
        pytest.param("1048576", 1_048_576, id="number"),
        pytest.param("007", 7, id="leading zeros"),
        pytest.param(" 7\t", 7, id="white space around"),
        pytest.param("9223372036854775807", 2**63 - 1, id="largest of 64 bits"),
        pytest.param("5,5", 5, id="list of equal numbers"),
        pytest.param("5 ,\t5, 5", 5, id="list with white space"),
    ],
)
def test_content_length_is_a_decimal_number(value: str, length: int) -> None:
    """RFC 9110, 8.6: 1*DIGIT; a list of one repeated value may be taken for that value."""
    assert parse_content_length(value) == length


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("-1", id="negative"),
        pytest.param("+1", id="plus"),
        pytest.param("1.0", id="fraction"),
        pytest.param("0x10", id="hexadecimal"),
        pytest.param("1_000", id="underscore, which int() takes"),
        pytest.param("1 0", id="space inside"),
        pytest.param("\xb2", id="superscript two, a digit to str.isdigit()"),
        pytest.param("５", id="full-width five, a number to int()"),
        pytest.param("5,6", id="different numbers"),
        pytest.param("5,", id="list with nothing in it"),
        pytest.param("9" * 5000, id="more digits than int() takes"),
    ],
)
def test_what_is_no_content_length_is_refused(value: str) -> None:
    """RFC 9110, 8.6: anything else is "an unrecoverable error"."""
    with pytest.raises(ValueError, match="Content-Length"):
        parse_content_length(value)


@given(value=st.text())
def test_content_length_of_any_text_is_a_number_or_a_value_error(value: str) -> None:
    """Nothing else comes out, and never a negative number."""
    try:
        length = parse_content_length(value)
    except ValueError:
        return
    assert length >= 0


@pytest.mark.parametrize(
    "name",
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ],
)
def test_headers_of_the_connection_are_hop_by_hop(name: str) -> None:
    """RFC 9110, 7.6.1, and RFC 2616, 13.5.1, which PEP 3333 refers to."""
    assert name in HOP_BY_HOP


@pytest.mark.parametrize("name", ["date", "server", "content-length", "content-type", "set-cookie", "vary", "via"])
def test_headers_of_the_response_are_not_hop_by_hop(name: str) -> None:
    """RFC 9110, 7.6.1: every other header is for the client; wsgiref agrees."""
    assert not is_hop_by_hop(name)
    assert name not in HOP_BY_HOP
