"""Rules of HTTP that both directions share: names, values, status lines. Pure; knows no server and no application."""

from __future__ import annotations

import re
from typing import Final

# RFC 9110, 5.6.2: token.
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# PEP 3333, "The start_response() Callable": three digits, a space, a reason phrase. The phrase is
# ABNF of RFC 9112, 4: tab, space, visible characters and obs-text; so neither CR, LF nor NUL.
_STATUS_LINE: Final = re.compile(r"([1-9][0-9]{2}) [\t\x20-\x7e\x80-\xff]*")
# RFC 9110, 5.5: CR, LF and NUL are dangerous, the other control characters invalid; a tab is white space.
_FORBIDDEN_IN_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 9112, 3.2.2, with a host, which RFC 9110, 4.2.1 asks for, and none of the control characters that escapes become.
_ABSOLUTE_FORM: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#\x00-\x20\x7f]+)")

# RFC 9110, 7.6.1 and PEP 3333, "Other HTTP Features": they belong to one connection, which is the server's.
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)


def parse_status(line: str) -> int:
    """Return the status code of a WSGI status line such as ``"200 OK"``.

    Raises:
        ValueError: *line* is not three digits, a space and a reason phrase.

    Source: PEP 3333, "The start_response() Callable"; RFC 9112, 4.
    """
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"a status line is three digits, a space and a reason, like '200 OK'; got {line!r}")
    return int(match[1])


def encode_name(name: str) -> bytes:
    """Return a header name as ASGI wants it: lower case bytes.

    Raises:
        ValueError: *name* is not an RFC 9110 token.
    """
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"a header name is a token (RFC 9110, 5.6.2), without spaces or colons; got {name!r}")
    return name.lower().encode("ascii")


def encode_value(value: str) -> bytes:
    """Return a header value as bytes, without the white space around it, which is no part of it.

    Raises:
        ValueError: *value* holds CR, LF, NUL or another control character, or one beyond U+00FF.

    Source: RFC 9110, 5.5; PEP 3333, "Unicode Issues".
    """
    # isprintable() is one pass in C and false for every control character: nearly all values end here.
    if not value.isprintable() and _FORBIDDEN_IN_VALUE.search(value):
        raise ValueError(f"a header value cannot hold CR, LF, NUL or other control characters; got {value!r}")
    try:
        return value.encode("latin-1").strip(b" \t")
    except UnicodeEncodeError:
        raise ValueError(
            f"a header value holds characters up to U+00FF only (PEP 3333, 'Unicode Issues'); got {value!r}"
        ) from None


def decode_value(value: bytes) -> str:
    """Return a header value as a native string, without the white space around it, which is no part of it.

    Raises:
        ValueError: *value* holds CR, LF, NUL or another control character.

    Source: RFC 9110, 5.5; PEP 3333, "Unicode Issues".
    """
    text = value.decode("latin-1")
    if not text.isprintable() and _FORBIDDEN_IN_VALUE.search(text):
        raise ValueError(f"a header value cannot hold CR, LF, NUL or other control characters; got {value!r}")
    return text.strip(" \t")


def split_absolute_form(target: str) -> tuple[str, str] | None:
    """Split a request target such as ``http://host:81/path`` that has no query.

    Returns:
        ``(authority, path)``, None for a target of another form. The authority comes without user information,
        the path starts with ``/``; nothing is decoded.

    Source: RFC 9112, 3.2.2 and 3.3; RFC 9110, 4.2.4 (user information).
    """
    match = _ABSOLUTE_FORM.match(target)
    if match is None:
        return None
    authority = match[1].rpartition("@")[2]
    path = target[match.end() :] or "/"
    return (authority, path) if authority and path[0] == "/" else None


def has_body(status: int) -> bool:
    """Whether a response with this final status can have a body at all. Source: RFC 9110, 6.4.1."""
    return status not in (204, 304)


def parse_content_length(value: str) -> int:
    """Return the number of bytes that a ``Content-Length`` value declares.

    A list of equal numbers, as some proxies make of repeated headers, is the one number.

    Raises:
        ValueError: *value* is no decimal number, or a list of different ones.

    Source: RFC 9110, 8.6.
    """
    if value.isascii() and value.isdigit() and len(value) <= 19:
        return int(value)
    numbers = {number.strip(" \t") for number in value.split(",")}
    if len(numbers) == 1:
        number = numbers.pop()
        if number.isascii() and number.isdigit() and len(number) <= 19:
            return int(number)
    raise ValueError(f"Content-Length is a decimal number of bytes; got {value!r}")
