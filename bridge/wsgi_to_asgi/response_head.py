"""Status line and headers of a WSGI application to http.response.start. Pure; knows no body and no thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.errors import ApplicationError
from bridge.hop_by_hop import log_dropped, without_nominated
from bridge.http import HOP_BY_HOP, encode_name, encode_value, has_body, parse_content_length, parse_status

if TYPE_CHECKING:
    from collections.abc import Iterable

# What an application says again and again is translated once. All of it is the application's own, and what does
# not fit any more is translated each time.
_CACHE_LIMIT: Final = 512
_statuses: dict[str, int] = {}
_names: dict[str, bytes] = {}  # b"" stands for a hop-by-hop header
_pairs: dict[tuple[str, str], tuple[bytes, bytes]] = {}
_named_in_log: set[str] = set()

# Headers with few values; cookies, dates and tags would only fill the table.
_FEW_VALUES: Final = frozenset(
    b"access-control-allow-credentials access-control-allow-headers access-control-allow-methods "
    b"access-control-allow-origin allow cache-control content-encoding content-language content-length "
    b"content-security-policy content-type cross-origin-opener-policy permissions-policy pragma referrer-policy server "
    b"strict-transport-security vary x-content-type-options x-frame-options x-powered-by x-xss-protection".split()
)


def translate_head(
    status: str, headers: Iterable[tuple[str, str]]
) -> tuple[int, list[tuple[bytes, bytes]], int | None]:
    """Translate the arguments of ``start_response`` into those of ``http.response.start``.

    Hop-by-hop headers are dropped, and named once in the log of ``bridge``.

    Returns:
        ``(status, headers, length)``: a plain tuple, since a named one costs as much as the rest of this
        function. *length* is the declared ``Content-Length`` in bytes, None if there is none.

    Raises:
        ApplicationError: the status line or a header breaks PEP 3333 or RFC 9110.

    Source: PEP 3333, "The start_response() Callable"; ASGI HTTP specification, "Response Start".
    """
    try:
        code = _statuses[status]
    except (KeyError, TypeError):  # TypeError: what is no text may not be hashable
        code = _learn_status(status)
    length = None
    translated: list[tuple[bytes, bytes]] = []
    nominated: list[bytes] = []
    try:
        for header in headers:
            try:
                pair = _pairs[header]
            except (KeyError, TypeError):  # TypeError: a list is taken for a pair as well
                pair = _translate(*header)
            name = pair[0]
            if name == b"content-length":
                if code == 204:  # RFC 9110, 8.6: a server must not send it
                    continue
                declared = int(pair[1])
                if length is not None:
                    if declared != length:
                        raise ValueError(f"two different Content-Length headers: {length} and {declared}")
                    continue
                length = declared
            elif not name:
                nominated.append(pair[1])
                continue
            translated.append(pair)
    except ValueError as error:
        raise ApplicationError(f"the application gave start_response() a bad header: {error}") from None
    except (TypeError, AttributeError) as error:
        raise ApplicationError(
            f"start_response() takes headers as a list of (name, value) pairs of str; the application gave {headers!r}"
        ) from error
    if nominated:
        translated = without_nominated(translated, b",".join(nominated).decode("latin-1"), _named_in_log)
    return code, translated, length


def _translate(name: str, value: str) -> tuple[bytes, bytes]:
    """Translate one header; a name of ``b""`` says that it is dropped, and with it the headers that its value names."""
    key = _names.get(name)
    if key is None:
        key = _learn_name(name)
    if not key:
        return b"", encode_value(value) if name.lower() == "connection" else b""
    pair = key, b"%d" % parse_content_length(value) if key == b"content-length" else encode_value(value)
    if key in _FEW_VALUES and len(value) <= 256 and len(_pairs) < _CACHE_LIMIT:
        _pairs[name, value] = pair
    return pair


def _learn_status(status: str) -> int:
    try:
        code = parse_status(status)
    except (ValueError, TypeError) as error:
        raise ApplicationError(f"the application gave start_response() a bad status: {error}") from None
    if code < 200:
        # RFC 9110, 15.2: interim. No ASGI server could send it as the answer; a client would wait on.
        raise ApplicationError(f"{status!r} is an interim status and cannot be the answer to a request")
    if len(_statuses) < _CACHE_LIMIT:
        _statuses[status] = code
    return code


def _learn_name(name: str) -> bytes:
    key = encode_name(name)
    if key.decode("ascii") in HOP_BY_HOP:
        log_dropped(name, _named_in_log)
        key = b""
    if len(_names) < _CACHE_LIMIT:
        _names[name] = key
    return key


def can_have_body(method: str, status: int) -> bool:
    """Whether this answer to this method carries its body. Source: RFC 9110, 6.4.1."""
    return method != "HEAD" and has_body(status)
