"""http.response.start of an ASGI application to start_response. Pure; knows no body and no thread."""

from __future__ import annotations

from http import HTTPStatus
from operator import index
from typing import TYPE_CHECKING, Any, Final

from bridge.errors import ApplicationError
from bridge.hop_by_hop import log_dropped, without_nominated
from bridge.http import HOP_BY_HOP, decode_value, encode_name, parse_content_length

if TYPE_CHECKING:
    from bridge.protocols import Message

# 1xx is not there: RFC 9110, 15.2, interim.
_STATUS_LINES: Final = {
    **{code: f"{code} Unknown" for code in range(200, 1000)},
    **{status.value: f"{status.value} {status.phrase}" for status in HTTPStatus if status >= 200},
}

# What an application says again and again is translated once. All of it is the application's own, and what does
# not fit any more is translated each time. Lengths may have any value, so they get only the first part of the table.
_CACHE_LIMIT: Final = 512
_LENGTHS_LIMIT: Final = 256
_names: dict[bytes, tuple[str, str]] = {}  # with what is special about the header, "" for most
_named_in_log: set[str] = set()

# With what a header means to the head: None nothing, a number the declared length, _DROPPED that it is hop-by-hop.
_DROPPED: Final = -1
_pairs: dict[tuple[bytes, bytes], tuple[tuple[str, str], int | None]] = {}

# Headers with few values; cookies, dates and tags would only fill the table.
_FEW_VALUES: Final = (
    "access-control-allow-credentials access-control-allow-headers access-control-allow-methods "
    "access-control-allow-origin allow cache-control content-encoding content-language content-security-policy "
    "content-type cross-origin-opener-policy permissions-policy pragma referrer-policy server "
    "strict-transport-security vary x-content-type-options x-frame-options x-powered-by x-xss-protection"
)
_SPECIAL: Final = {
    **dict.fromkeys(_FEW_VALUES.split(), "few values"),
    **dict.fromkeys(HOP_BY_HOP, "hop-by-hop"),
    "connection": "connection",
    "content-length": "length",
}


def translate_start(message: Message) -> tuple[int, str, list[tuple[str, str]], int | None]:
    """Translate ``http.response.start`` into the arguments of ``start_response``.

    Hop-by-hop headers are dropped, and named once in the log of ``bridge``. Names keep the case that the
    application gave them, headers of one name their order.

    Returns:
        ``(code, status_line, headers, length)``: native strings; *length* is the declared ``Content-Length`` in
        bytes, None if there is none.

    Raises:
        ApplicationError: the message breaks the ASGI specification or RFC 9110, or announces trailers, which the
            scope does not offer.

    Source: ASGI HTTP specification, "Response Start"; PEP 3333, "The start_response() Callable".
    """
    code: Any = message.get("status")
    if code.__class__ is not int:
        code = _to_int(code)
    try:
        line = _STATUS_LINES[code]
    except KeyError:
        raise ApplicationError(
            "the status of http.response.start is a final one, from 200 to 999 (RFC 9110, 15); "
            f"the application gave {message.get('status')!r}"
        ) from None
    if message.get("trailers"):
        raise ApplicationError("the application announced trailers, which the scope does not offer")
    length = None
    translated: list[tuple[str, str]] = []
    nominated: list[str] = []
    headers = message.get("headers")
    try:
        for header in headers or ():
            try:
                pair, meaning = _pairs[header]
            except (KeyError, TypeError):  # TypeError: a list is a pair as well, and a bytearray is bytes
                pair, meaning = _translate(header)
            if meaning is not None:
                if meaning == _DROPPED:
                    nominated.append(pair[1])
                    continue
                if code == 204:  # RFC 9110, 8.6: a server must not send it
                    continue
                if length is not None:
                    if meaning != length:
                        raise ValueError(f"two different Content-Length headers: {length} and {meaning}")
                    continue
                length = meaning
            translated.append(pair)
    except ValueError as error:
        raise ApplicationError(f"the application gave http.response.start a bad header: {error}") from None
    except TypeError as error:
        raise ApplicationError(
            f"http.response.start takes headers as (name, value) pairs of bytes; the application gave {headers!r}"
        ) from error
    if nominated:
        translated = without_nominated(translated, ",".join(nominated), _named_in_log)
    return code, line, translated, length


def _to_int(status: Any) -> int:
    try:
        return index(status)  # http.HTTPStatus
    except TypeError:
        raise ApplicationError(
            f"the status of http.response.start is an int; the application gave {status!r}"
        ) from None


def _translate(header: Any) -> tuple[tuple[str, str], int | None]:
    """Translate one header and say what it means; a dropped one keeps its value only if that nominates others."""
    name, value = header
    if type(name) is not bytes:
        name = _to_bytes(name)
    if type(value) is not bytes:
        value = _to_bytes(value)
    try:
        text, special = _names[name]
    except KeyError:
        text, special = _learn_name(name)
    if special == "hop-by-hop":
        return (text, ""), _DROPPED
    try:
        pair = text, decode_value(value)
        length = parse_content_length(pair[1]) if special == "length" else None
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from None
    if not special:
        return pair, None
    if special == "connection":
        return pair, _DROPPED
    if length is not None:
        pair = text, str(length)
    if len(value) <= 256 and len(_pairs) < (_CACHE_LIMIT if length is None else _LENGTHS_LIMIT):
        _pairs[name, value] = pair, length
    return pair, length


def _to_bytes(part: Any) -> bytes:
    if isinstance(part, str):
        raise ValueError(f"names and values are bytes (ASGI, 'Response Start'), so encode it: {part!r}")
    return bytes(memoryview(part))  # and not bytes(part), which makes five bytes of the number 5


def _learn_name(name: bytes) -> tuple[str, str]:
    text = name.decode("latin-1")
    special = _SPECIAL.get(encode_name(text).decode("ascii"), "")
    if special in ("hop-by-hop", "connection"):
        log_dropped(text, _named_in_log)
    if len(_names) < _CACHE_LIMIT and len(name) <= 64:
        _names[name] = text, special
    return text, special
