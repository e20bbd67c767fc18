"""Environ to scope. Pure: no thread, no event loop, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote_from_bytes, unquote_to_bytes

from bridge.errors import BadRequest, ServerError
from bridge.http import parse_content_length, split_absolute_form

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.protocols import Environ, Scope

Headers: TypeAlias = list[tuple[bytes, bytes]]

_VERSIONS: Final = {
    "HTTP/1.1": "1.1",
    "HTTP/1.0": "1.0",
    "HTTP/2.0": "2",
    "HTTP/2": "2",
    "HTTP/3.0": "3",
    "HTTP/3": "3",
}


def build_scope(environ: Environ, state: Mapping[str, Any] | None) -> Scope:
    """Build the ``http`` scope of one exchange.

    Args:
        environ: as PEP 3333 has it; what it may leave out or empty may be missing here. The scope holds this
            very object as ``wsgi.environ``.
        state: what the application's lifespan left behind; None where there was no lifespan.

    Returns:
        A new plain dictionary with every optional key of the specification; *state* is copied, one level deep.

        ``path`` is SCRIPT_NAME and PATH_INFO decoded as UTF-8, with U+FFFD for what is none. ``raw_path`` is the
        target as the client sent it (RAW_URI, REQUEST_URI or RAW_PATH_INFO), without scheme, authority and query,
        as long as it says the same as ``path``: dot segments and double slashes, which some servers resolve, may
        differ, and the mount may be missing. In any other case it is ``path`` percent-quoted, byte for byte.

        ``headers`` come from the ``HTTP_*`` variables in the environ's order, content-type and content-length last.

    Raises:
        BadRequest: the request's target has no valid form, or its declared length is none.
        ServerError: the environ lacks what PEP 3333 requires.

    Source: ASGI HTTP specification 2.4, "HTTP Connection Scope"; PEP 3333, "environ Variables".
    """
    try:
        method = environ["REQUEST_METHOD"].upper()
        scheme = environ["wsgi.url_scheme"]
    except KeyError as error:
        raise ServerError(f"environ must hold {error} (PEP 3333, 'environ Variables'); it is missing") from None
    get = environ.get
    try:
        path = environ["PATH_INFO"]
        script_name = environ["SCRIPT_NAME"]
        query = environ["QUERY_STRING"]
    except KeyError:  # PEP 3333: what is empty may be missing
        path = get("PATH_INFO", "")
        script_name = get("SCRIPT_NAME", "")
        query = get("QUERY_STRING", "")
    raw = get("RAW_URI") or get("REQUEST_URI") or get("RAW_PATH_INFO") or ""
    if "?" in raw:
        raw = raw.partition("?")[0]
    authority = ""
    if raw == path and not script_name and raw[:1] == "/" and "%" not in raw and raw.isascii():
        root_path = ""
        raw_path = raw.encode()
    else:
        root_path, path, raw_path, authority = _resolve(script_name, path, raw)

    headers: Headers = []
    content_type = get("CONTENT_TYPE")
    if "headers_raw" in environ:
        headers, content_type = _headers_of_eventlet(environ, content_type)
    if not headers:
        keys = tuple(environ)
        try:
            names = _NAMES[keys]
        except KeyError:
            names = _learn(keys)
        try:
            # ASCII needs no table, and is the rule: encode() is half as dear without an argument.
            headers = [
                (name, value.encode() if (value := environ[key]).isascii() else value.encode("latin-1"))
                for key, name in names
            ]
        except (UnicodeEncodeError, AttributeError):
            headers = [(name, _encode_value(key, environ[key])) for key, name in names]
    if content_type:
        headers.append((b"content-type", _encode(content_type)))
    # RFC 9112, 6.3: Transfer-Encoding overrides Content-Length. Both together are how requests are smuggled, so
    # an application must not see the one that does not count.
    if "CONTENT_LENGTH" in environ and environ["CONTENT_LENGTH"] and not get("HTTP_TRANSFER_ENCODING"):
        try:
            headers.append((b"content-length", b"%d" % parse_content_length(environ["CONTENT_LENGTH"])))
        except ValueError as error:
            raise BadRequest(str(error)) from None
    if authority:  # RFC 9112, 3.2.2: the target's authority replaces the Host field
        headers = [(b"host", _encode(authority)), *(header for header in headers if header[0] != b"host")]

    extensions: dict[str, dict[str, Any]] = {}
    if get("wsgi.file_wrapper"):
        extensions["http.response.pathsend"] = {}
    if "wsgi.early_hints" in environ and callable(environ["wsgi.early_hints"]):
        extensions["http.response.early_hint"] = {}

    host = get("REMOTE_ADDR")
    client = None
    if host:
        try:
            client = (host, int(environ["REMOTE_PORT"]))
        except (KeyError, ValueError, TypeError):
            client = (host, 0)
    server: tuple[str, int | None] | None
    try:
        server = _SERVERS[environ["SERVER_NAME"], environ["SERVER_PORT"]]
    except KeyError:
        server = _learn_server(get("SERVER_NAME"), get("SERVER_PORT"))
    try:
        version = _VERSIONS[environ["SERVER_PROTOCOL"]]
    except KeyError:
        version = _version(get("SERVER_PROTOCOL") or "HTTP/1.1")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": version,
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path,
        "query_string": query.encode() if query.isascii() else _encode(query),
        "root_path": root_path,
        "headers": headers,
        "client": client,
        "server": server,
        "state": dict(state) if state else {},
        "extensions": extensions,
        "wsgi.environ": environ,
    }


# A process listens on few addresses; on a UNIX socket some servers take them from the Host field, hence the limit.
_SERVERS_LIMIT: Final = 64
_SERVERS: Final[dict[tuple[str, Any], tuple[str, int | None]]] = {}


def _learn_server(name: str | None, port: Any) -> tuple[str, int | None] | None:
    if not name:
        return None
    # ASGI has an address, RFC 3875, 4.1.14 a host as in a URL, with an IPv6 address in brackets.
    host = name[1:-1] if name[0] == "[" and name[-1] == "]" else name
    try:
        server = (host, int(port))
    except (ValueError, TypeError):  # a UNIX socket has none
        return host, None
    if len(_SERVERS) < _SERVERS_LIMIT:
        _SERVERS[name, port] = server
    return server


def _version(protocol: str) -> str:
    major, _, minor = protocol.rpartition("/")[2].partition(".")
    if not major.isdigit() or not (minor or "0").isdigit():  # CGI's "INCLUDED", or nothing that HTTP knows
        return "1.1"
    return f"{major}.{minor or '0'}"


# -- path -----------------------------------------------------------------------------------------------------


def _resolve(script_name: str, path_info: str, raw: str) -> tuple[str, str, bytes, str]:
    """Return ``(root_path, path, raw_path, authority)`` of a request whose path is not plain.

    Args:
        script_name: SCRIPT_NAME or ``""``.
        path_info: PATH_INFO or ``""``.
        raw: the target as the server tells it, without the query; ``""`` if it does not.
    """
    authority = ""
    if path_info and path_info[0] != "/":
        path_info, raw, authority = _take_target_apart(path_info, raw)
    mount = script_name.rstrip("/")
    if mount and mount[0] != "/":  # as an operator may have typed it
        mount = "/" + mount
    exact = _encode(mount + path_info or "/")
    path = exact.decode("utf-8", "replace")
    root_path = _decode(mount)
    if raw and raw[0] != "/" and raw != "*":
        parts = split_absolute_form(raw)
        raw = parts[1] if parts else ""
    raw_path = _encode(raw)
    if not raw or not (unquote_to_bytes(raw_path) == exact or _agrees(raw_path, path, _decode(path_info))):
        # Rewritten on its way: by a middleware that maps URLs, or by one that sends elsewhere what is not allowed.
        # An application that routes by raw_path must not be led past it, so raw_path says what PATH_INFO says.
        raw_path = quote_from_bytes(exact, safe="/:@!$&'()*+,;=~").encode("ascii")
    return root_path, path, raw_path, authority


def _take_target_apart(path_info: str, raw: str) -> tuple[str, str, str]:
    """Find the path in a request target that is not just a path; ``(path_info, raw, authority)``.

    Source: RFC 9112, 3.2 and 3.3.
    """
    if path_info == "*":
        return "", raw or "*", ""
    # From the raw target if it is the same: in PATH_INFO the escapes are gone, those of the authority among them,
    # and "http://a%2Fb/" would name another host.
    if raw and unquote_to_bytes(_encode(raw)) == _encode(path_info):
        parts = split_absolute_form(raw)
        if parts:
            return unquote_to_bytes(_encode(parts[1])).decode("latin-1"), parts[1], parts[0]
    parts = split_absolute_form(path_info)
    if parts is None:
        raise BadRequest(f"a request target starts with '/' or a scheme and a host, or is '*'; got {path_info!r}")
    return parts[1], raw, parts[0]


def _agrees(raw_path: bytes, path: str, path_info: str) -> bool:
    """Whether *raw_path* is what the server made *path* of.

    Args:
        raw_path: starts with ``/``, or is ``*``.
        path: decoded, with the mount.
        path_info: decoded, without it.
    """
    if raw_path == b"*":
        return path_info in ("", "/")
    # Decoded before the dot segments are resolved, as Apache does it: "%2e%2e" is one of them. Cheroot leaves "%2F"
    # as it is. Text is compared and not bytes: Werkzeug has U+FFFD in PATH_INFO for a byte that is not UTF-8.
    for target in (raw_path, raw_path.replace(b"%2F", b"%252F").replace(b"%2f", b"%252f")):
        sent = unquote_to_bytes(target).decode("utf-8", "replace")
        if _ends_with(path, sent, path_info) or _ends_with(
            _without_dots(path), _without_dots(sent), _without_dots(path_info)
        ):
            return True
    return False


def _ends_with(path: str, sent: str, path_info: str) -> bool:
    # A proxy may have cut the mount, or its own part of it, off what it sent on; of PATH_INFO nothing may be missing.
    return path.endswith(sent) and len(sent) >= len(path_info)


def _without_dots(path: str) -> str:
    segments: list[str] = []
    segment = ""
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    if segment in ("", ".", ".."):  # RFC 3986, 5.2.4: a slash stays at the end
        segments.append("")
    return "/" + "/".join(segments)


def _encode(native: str) -> bytes:
    """Return the bytes of a native string; those of UTF-8 for one that breaks PEP 3333 with other characters."""
    try:
        return native.encode("latin-1")
    except UnicodeEncodeError:
        pass
    try:
        return native.encode("utf-8", "surrogateescape")  # CGI has it from os.environ
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte: keep it rather than fail
        return native.encode("utf-8", "surrogatepass")


def _decode(native: str) -> str:
    return native if native.isascii() else _encode(native).decode("utf-8", "replace")


# -- headers --------------------------------------------------------------------------------------------------


_NO_HEADERS: Final = ("HTTP_", "HTTP_PROXY", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")


def header_name(key: str) -> bytes | None:
    """Return the header's name of an environ key, None for a key that stands for no header.

    ``HTTP_PROXY`` stands for none: it is the proxy of HTTP clients, which some servers let in from ``os.environ``
    (CVE-2016-5385). Nor do HTTP_CONTENT_TYPE and HTTP_CONTENT_LENGTH, second copies that some servers add.

    Source: RFC 3875, 4.1.18.
    """
    if not key.startswith("HTTP_") or key in _NO_HEADERS:
        return None
    # bytes.lower() is ASCII only, as header names are case-insensitive in ASCII only.
    return _encode(key[5:]).lower().replace(b"_", b"-")


# A client sends the same headers with each request, and a server adds the same variables: which of them are headers
# is found out once for each such set. Clients choose the names, so the table has an end, and no set in it is long.
_NAMES_LIMIT: Final = 512
_LONGEST_SET: Final = 4096  # characters
_NAMES: Final[dict[tuple[str, ...], tuple[tuple[str, bytes], ...]]] = {}


def _learn(keys: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    named = [(key, header_name(key)) for key in keys]
    names = tuple((key, name) for key, name in named if name is not None)
    if len(_NAMES) < _NAMES_LIMIT and sum(map(len, keys)) <= _LONGEST_SET:
        _NAMES[keys] = names
    return names


def _encode_value(key: str, value: Any) -> bytes:
    if not isinstance(value, str):
        raise ServerError(f"environ[{key!r}] must be a str (PEP 3333); the server put {type(value).__name__} there")
    return _encode(value)


def _headers_of_eventlet(environ: Environ, content_type: str | None) -> tuple[Headers, str | None]:
    """Return ``(headers, content_type)`` from eventlet's ``headers_raw``: each header as it was sent, in order.

    No headers if the ``HTTP_*`` variables say something else: a middleware changed them, and an application must
    not get past one that takes forged headers away.
    """
    pairs: Iterable[tuple[str, str]] = environ["headers_raw"]
    headers: Headers = []
    joined: dict[str, str] = {}
    typed = False
    for name, value in pairs:
        if "_" in name:  # X_Forwarded_For would have the variable of X-Forwarded-For
            continue
        key = "HTTP_" + name.upper().replace("-", "_")
        typed = typed or key == "HTTP_CONTENT_TYPE"
        known = header_name(key)
        if known is not None:
            headers.append((known, _encode(value)))
            joined[key] = f"{joined[key]},{value}" if key in joined else value
    if joined != {key: value for key, value in environ.items() if header_name(key) is not None}:
        return [], content_type
    # eventlet puts the default of an e-mail there for a request without a type.
    return headers, content_type if typed or content_type != "text/plain" else None
