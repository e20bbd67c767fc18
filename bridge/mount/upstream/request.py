"""Scope to the head of the request that the upstream gets. Pure: no event loop, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from bridge.errors import BadRequest
from bridge.http import HOP_BY_HOP, parse_content_length
from bridge.wsgi_to_asgi.environ import split_mount, take_target_apart

if TYPE_CHECKING:
    from bridge.mount.upstream.address import Address
    from bridge.protocols import Scope

_SAFE: Final = "/:@!$&'()*+,;=~"
# RFC 9112, 3.2: a target is visible ASCII. Some servers pass on what their clients have not escaped.
_NOT_IN_TARGET: Final = re.compile(rb"[^\x21-\x7e]")
_ESCAPED: Final = re.compile(rb"%[0-9A-Fa-f]{2}")

_HOP_BY_HOP: Final = frozenset(name.encode("ascii") for name in HOP_BY_HOP)
# A client that may not say by whom its request came may not say it by other names either. The last two are variables to
# Gunicorn, which believes whom it takes for a proxy: all of its own machine (option forwarder_headers).
_ALSO_FORWARDED: Final = frozenset({b"forwarded", b"x-real-ip", b"script-name", b"path-info"})
# RFC 9110, 9.3.1 and 9.3.2: a body has no meaning there, so one is there only if a header says so.
_NO_BODY_BY_DEFAULT: Final = frozenset({"GET", "HEAD"})
# RFC 9110, 9.2.2.
_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})


class Framing(Enum):
    """Where a request's body ends. Source: RFC 9112, 6.3; RFC 9113, 8.1."""

    NONE = auto()  # there is none
    LENGTH = auto()  # after the declared number of bytes
    CHUNKED = auto()  # at its last chunk
    UNKNOWN = auto()  # only receive() can tell whether there is one: HTTP/2 and 3 need no header


@dataclass
class RequestHead:
    """What the upstream is asked, all but the body."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    framing: Framing
    length: int | None = None
    """Bytes of body, where the framing is by length."""
    expects_continue: bool = False
    """The client sends its body only when it is told to, or has waited for a while."""

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again where nobody can say if it has arrived. Source: RFC 9110, 9.2.2."""
        return self.method in _IDEMPOTENT and not self.has_body

    @property
    def has_body(self) -> bool:
        """Whether bytes of a body follow, or may follow."""
        return self.framing is not Framing.NONE and self.length != 0

    def frame(self, length: int | None) -> None:
        """Settle an unknown framing: *length* bytes of body, None for chunks."""
        if length is None:
            self.framing = Framing.CHUNKED
            self.headers.append((b"transfer-encoding", b"chunked"))
        elif length:
            self.framing = Framing.LENGTH
            self.length = length
            self.headers.append((b"content-length", b"%d" % length))
        else:
            self.framing = Framing.NONE


def build_request(scope: Scope, address: Address, *, keep_host: bool, trust_forwarded: bool) -> RequestHead:
    """Build the head of the request for an ASGI ``http`` or ``websocket`` scope.

    Args:
        scope: keys that the specification calls optional may be absent or None, header pairs may be lists.
        address: of the upstream; its path comes before that of the request, which loses its mount.
        keep_host: whether the upstream finds the client's Host, or its own.
        trust_forwarded: whether the ``X-Forwarded-*`` headers of the request are added to, or replaced.

    Returns:
        Header names in lower case, repeated ones in their order. Of a WebSocket it has all headers but those of the
        handshake.

    Raises:
        BadRequest: the request's target or its declared length has no valid form.

    Source: RFC 9110, 7.6.1 and 10.1.1; RFC 9112, 3.2, 6.1 and 6.3; ASGI HTTP specification, "HTTP Connection Scope".
    """
    method = scope.get("method") or "GET"  # a WebSocket has none
    if method.upper() == "CONNECT":
        raise BadRequest("CONNECT asks for a tunnel, and there is none to be had here.")
    target, authority = _target(scope, address.base)
    headers = [(bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in scope["headers"]]
    framing, length = _framing(scope, method, headers)
    kept = _end_to_end(headers, trust_forwarded)
    hosts = [authority] if authority else [value for name, value in headers if name == b"host"]
    if len(set(hosts)) > 1:  # RFC 9112, 3.2: to be refused, since nobody knows which the upstream would take
        raise BadRequest("The request has more than one Host.")
    host = hosts[0] if hosts else b""
    own = [(b"host", host if keep_host and host else address.authority)]
    own += _forwarded(scope, address, headers if trust_forwarded else [], host)
    request = RequestHead(method.encode("latin-1"), target, [*own, *kept], framing, length)
    if framing is Framing.LENGTH:
        request.headers.append((b"content-length", b"%d" % (length or 0)))
    elif framing is Framing.CHUNKED:
        request.headers.append((b"transfer-encoding", b"chunked"))
    # A body of unknown framing is asked for before the upstream is, so its client does not wait.
    if framing is not Framing.UNKNOWN and request.has_body and _waits_for_continue(scope, headers):
        request.expects_continue = True
        request.headers.append((b"expect", b"100-continue"))
    return request


def _target(scope: Scope, base: bytes) -> tuple[bytes, bytes]:
    """Return the target of the request, and the authority that it names in absolute form, else ``b""``."""
    path = scope["path"]
    root_path = scope.get("root_path") or ""
    raw_path: bytes | None = scope.get("raw_path")
    authority = ""
    if path == "*" and not base:
        return b"*", b""  # RFC 9112, 3.2.4: about the server as a whole
    if path[:1] != "/":
        path, raw_path, authority = take_target_apart(path, raw_path)
    _, native = split_mount(path, root_path, raw_path, scope.get("app_root_path") or "")
    below = native.encode("latin-1")
    exact = _as_sent(raw_path, below)
    if exact is None:
        exact = quote_from_bytes(below, safe=_SAFE).encode("ascii")
    if base and _climbs(exact):
        raise BadRequest("The path leads out of what is mounted here.")
    target = base + exact or b"/"
    query = scope.get("query_string")
    if query:
        target += b"?" + query
    return _NOT_IN_TARGET.sub(lambda found: b"%%%02X" % found[0][0], target), authority.encode("latin-1")


def _as_sent(raw_path: bytes | None, below: bytes) -> bytes | None:
    """Return the end of *raw_path* that says *below*, None if none does or it does not begin with a slash."""
    if not raw_path:
        return None
    raw = raw_path.partition(b"?")[0]
    whole = unquote_to_bytes(raw)
    if not whole.endswith(below):
        return None
    position = 0
    for _ in range(len(whole) - len(below)):
        position += 3 if _ESCAPED.match(raw, position) else 1
    exact = raw[position:]
    return exact if exact[:1] in (b"/", b"") else None


def _climbs(path: bytes) -> bool:
    """Whether dot segments may lead above where *path* begins, which is escaped. Source: RFC 3986, 5.2.4.

    Servers differ in whether ``%2F`` and a backslash end a segment, whether two slashes are one, and whether a segment
    goes on after a semicolon. So each of these leads up where it may, and none leads down.
    """
    depth = 0
    for segment in path.split(b"/"):
        names = [name.partition(b";")[0] for name in unquote_to_bytes(segment).replace(b"\\", b"/").split(b"/")]
        if b".." in names:
            depth -= names.count(b"..")
            if depth < 0:
                return True
        elif any(name not in (b"", b".") for name in names):
            depth += 1
    return False


def _framing(scope: Scope, method: str, headers: list[tuple[bytes, bytes]]) -> tuple[Framing, int | None]:
    if scope["type"] == "websocket":
        return Framing.NONE, None  # whatever it declares: the server hands out frames, and they are no body
    lengths = [value for name, value in headers if name == b"content-length"]
    if any(name == b"transfer-encoding" for name, _ in headers):
        return Framing.CHUNKED, None  # RFC 9112, 6.1: it overrides a length, which is not to be passed on
    if lengths:
        try:
            length = parse_content_length(b",".join(lengths).decode("latin-1"))
        except ValueError as error:
            raise BadRequest(str(error)) from None
        return Framing.LENGTH, length
    if scope.get("http_version") in ("1", "1.0", "1.1") and method in _NO_BODY_BY_DEFAULT:
        return Framing.NONE, None
    return Framing.UNKNOWN, None


def _waits_for_continue(scope: Scope, headers: list[tuple[bytes, bytes]]) -> bool:
    if scope.get("http_version") in ("1", "1.0"):
        return False  # RFC 9110, 10.1.1: it cannot mean it
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)


def _end_to_end(headers: list[tuple[bytes, bytes]], trust_forwarded: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers that are passed on as they are; the others are made anew, or not at all."""
    nominated = {
        option.strip(b" \t").lower() for name, value in headers if name == b"connection" for option in value.split(b",")
    }
    # Proxy is no header at all, but HTTP_PROXY, which HTTP clients obey, to a CGI application (CVE-2016-5385).
    dropped = _HOP_BY_HOP | nominated | {b"host", b"content-length", b"expect", b"proxy"}
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        # A CGI or WSGI server makes one variable of X_Forwarded_For and X-Forwarded-For.
        alike = name.replace(b"_", b"-")
        if name in dropped or alike in _REPLACED:
            continue
        if not trust_forwarded and (alike.startswith(b"x-forwarded-") or alike in _ALSO_FORWARDED):
            continue
        kept.append((name, value))
    return kept


# They are always the bridge's own, made of what came in where that is trusted.
_REPLACED: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix"})
_SECURE: Final = {"wss": "https", "ws": "http"}


def _forwarded(
    scope: Scope, address: Address, trusted: list[tuple[bytes, bytes]], host: bytes
) -> list[tuple[bytes, bytes]]:
    """Return the ``X-Forwarded-*`` headers; *trusted* are the request's headers if they are to be believed."""

    def came(name: bytes) -> bytes:
        return b", ".join(value for key, value in trusted if key == name)

    scheme = scope.get("scheme") or "http"
    client: Any = scope.get("client")
    hops = [came(b"x-forwarded-for"), str(client[0]).encode("latin-1") if client and client[0] else b""]
    # What a proxy's own server was told below which path it is may be in root_path, too: not twice.
    mount = quote((scope.get("root_path") or "").rstrip("/"), safe=_SAFE).encode("ascii")
    outer = came(b"x-forwarded-prefix").rstrip(b"/")
    prefix = mount if (mount + b"/").startswith(outer + b"/") else outer + mount
    made = [
        (b"x-forwarded-for", b", ".join(hop for hop in hops if hop)),
        (b"x-forwarded-proto", came(b"x-forwarded-proto") or _SECURE.get(scheme, scheme).encode("ascii")),
        (b"x-forwarded-host", came(b"x-forwarded-host") or host),
        # An upstream that is asked by a path of the same name has its mount in its path already.
        (b"x-forwarded-prefix", prefix.removesuffix(address.base)),
    ]
    return [(name, value) for name, value in made if value]
