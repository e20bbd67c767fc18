"""Scope to environ. Pure: no thread, no event loop, no I/O."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes
from wsgiref.util import FileWrapper

from bridge.errors import BadRequest, ServerError
from bridge.http import parse_content_length, split_absolute_form

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridge.protocols import Environ, Scope

# What is the same for every exchange is copied, not built. multiprocess is true because a server may run
# several processes and nothing in the scope says so; PEP 3333 asks for true where it may be so.
_CONSTANT: Final[Environ] = {
    "SERVER_SOFTWARE": "wsgi-asgi-bridge",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
    "wsgi.file_wrapper": FileWrapper,
}

_DEFAULT_PORT: Final = {"http": "80", "https": "443"}

_COMMON_HEADERS: Final = (
    "accept accept-charset accept-encoding accept-language access-control-request-headers "
    "access-control-request-method authorization cache-control connection cookie date dnt expect forwarded from "
    "host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive max-forwards origin "
    "pragma priority range referer sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode "
    "sec-fetch-site sec-fetch-user te traceparent tracestate transfer-encoding upgrade upgrade-insecure-requests "
    "user-agent via x-csrf-token x-csrftoken x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-prefix "
    "x-forwarded-proto x-real-ip x-request-id x-requested-with"
)

# Header names come from clients, so the table that translates them has an end; beyond it each is translated anew.
_KNOWN_NAMES_LIMIT: Final = 1024


class PrivateScope(dict[str, Any]):
    """The scope as an application finds it in ``environ["asgi.scope"]``.

    Debug pages print environ: ``repr`` names the headers and leaves their values out.
    """

    def __repr__(self) -> str:
        shown = dict(self)
        if "headers" in shown:
            shown["headers"] = [name for name, _ in shown["headers"]]
        return repr(shown)


def build_environ(scope: Scope) -> Environ:
    """Build the environ of one exchange, all but ``wsgi.input``.

    Args:
        scope: an ASGI ``http`` scope. Keys that the specification calls optional may be absent or None,
            header pairs may be lists, ports may be strings.

    Returns:
        A new dictionary. Native strings, as PEP 3333 has them: one character a byte, code points 0-255.
        ``CONTENT_LENGTH`` is a plain decimal number, or absent.

    Raises:
        BadRequest: the request's target has no valid form, or its declared length is none.
        ServerError: ``root_path`` is neither empty nor starts with ``/``.

    Source: PEP 3333 "environ Variables"; RFC 3875, 4.1; ASGI HTTP specification, "HTTP Connection Scope".
    """
    scheme = scope.get("scheme") or "http"
    server = scope.get("server")
    version = scope.get("http_version")
    try:
        environ = _BASES[scheme, version, server].copy()
    except (KeyError, TypeError):  # TypeError: Daphne's server is a list
        environ = _learn_base(scheme, version, server)
    path = scope["path"]
    root_path = scope.get("root_path")
    raw_path = scope.get("raw_path")
    authority = ""
    if root_path and _is_no_path(path.removeprefix(root_path)):
        # Uvicorn puts its root_path before whatever was requested: "/app*", "/apphttp://host/path".
        path = path.removeprefix(root_path)
        raw_path = raw_path and raw_path.removeprefix(root_path.encode())
    if path[:1] != "/":
        path, raw_path, authority = take_target_apart(path, raw_path)
    if root_path or not path.isascii():
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = split_mount(
            path, root_path or "", raw_path, scope.get("app_root_path") or ""
        )
    else:
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = path or "/"
    environ["REQUEST_METHOD"] = scope["method"]
    environ["QUERY_STRING"] = query = (scope.get("query_string") or b"").decode("latin-1")
    target = scope.get("raw_path")
    if target:
        uri = target.decode("latin-1")
        if "?" in uri:
            uri = uri.partition("?")[0]
    else:
        uri = quote_from_bytes(_encode(path), safe="/:@!$&'()*+,;=~") or "/"
    if query:
        uri = f"{uri}?{query}"
    environ["REQUEST_URI"] = environ["RAW_URI"] = uri
    environ["wsgi.errors"] = sys.stderr
    environ["asgi.scope"] = PrivateScope(scope)
    client = scope.get("client")
    if client:
        environ["REMOTE_ADDR"] = client[0]
        if client[1] is not None:
            environ["REMOTE_PORT"] = str(client[1])
    else:  # required by RFC 3875, 4.1.8, and read without a default by much code
        environ["REMOTE_ADDR"] = ""

    add_headers(environ, scope["headers"])
    if authority:  # RFC 9112, 3.2.2: the target's authority replaces the Host field
        environ["HTTP_HOST"] = authority
    if "CONTENT_LENGTH" in environ:
        try:
            environ["CONTENT_LENGTH"] = str(parse_content_length(environ["CONTENT_LENGTH"]))
        except ValueError as error:
            raise BadRequest(str(error)) from None
    extensions = scope.get("extensions")
    if extensions and "tls" in extensions:
        environ.update(tls_variables(extensions["tls"]))
    return environ


# RFC 3875, 4.1.16 wants major and minor; ASGI says "2" for HTTP/2.
_PROTOCOLS: Final[dict[str | None, str]] = {
    "1.1": "HTTP/1.1",
    "1.0": "HTTP/1.0",
    "1": "HTTP/1.0",  # Granian; RFC 3875, 4.1.16, wants both numbers
    "2": "HTTP/2.0",
    "3": "HTTP/3.0",
    None: "HTTP/1.1",
}

# A process listens on few addresses, so what follows from them is built once.
_BASES_LIMIT: Final = 64
_BASES: Final[dict[tuple[str, str | None, Any], Environ]] = {}


def _learn_base(scheme: str, version: str | None, server: Sequence[Any] | None) -> Environ:
    base = {
        **_CONSTANT,
        "SERVER_PROTOCOL": _PROTOCOLS.get(version) or f"HTTP/{version}",
        "wsgi.url_scheme": scheme,
    }
    if scheme == "https":
        base["HTTPS"] = "on"
    if server and server[1] is not None:
        name = server[0]
        # RFC 3875, 4.1.14: a host as in a URL, so an IPv6 address stands in brackets
        base["SERVER_NAME"] = f"[{name}]" if ":" in name and name[0] != "[" else name
        base["SERVER_PORT"] = str(server[1])
    else:  # a UNIX socket has a path and no port, yet both variables may never be empty (PEP 3333)
        base["SERVER_NAME"] = "localhost"
        base["SERVER_PORT"] = _DEFAULT_PORT.get(scheme, "80")
    if len(_BASES) < _BASES_LIMIT and not isinstance(server, list):
        _BASES[scheme, version, server] = base
    return base.copy()


def add_headers(environ: Environ, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Add the request's headers to *environ*; repeated ones are joined in their order.

    Names with an underscore are dropped, and so is ``Proxy``: ``X_Forwarded_For`` would become the
    variable of ``X-Forwarded-For``, ``Proxy`` the ``HTTP_PROXY`` that HTTP clients obey (CVE-2016-5385).

    Source: RFC 3875, 4.1.18; RFC 9110, 5.3 (``,``); RFC 6265, 5.4 and RFC 9113, 8.2.3 (cookies, ``; ``).
    """
    repeated: dict[str, list[str]] | None = None
    for name, value in headers:
        try:
            key = _KEYS[name]
        except KeyError:
            key = _learn(name)
        if not key:
            continue
        if key not in environ:
            environ[key] = value.decode("latin-1")
        else:
            # Joined once, at the end: a client may repeat a header thousands of times, and this is the event loop.
            if repeated is None:
                repeated = {}
            if key not in repeated:
                repeated[key] = [environ[key]]
            repeated[key].append(value.decode("latin-1"))
    if repeated is not None:
        for key, values in repeated.items():
            environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)


def environ_key(name: bytes) -> str:
    """Return the environ key of a header name, ``""`` for a name that is dropped."""
    # bytes.upper() is ASCII only: str.upper() would turn the byte FF, read as latin-1, into U+0178.
    key = name.upper()
    if b"_" in key or key == b"PROXY":
        return ""
    key = key.replace(b"-", b"_")
    if key in (b"CONTENT_TYPE", b"CONTENT_LENGTH"):
        return key.decode("ascii")
    return "HTTP_" + key.decode("latin-1")


def _learn(name: bytes) -> str:
    key = environ_key(name)
    if len(_KEYS) < _KNOWN_NAMES_LIMIT and len(name) <= 64:
        _KEYS[name] = key
    return key


_KEYS: Final[dict[bytes, str]] = {
    name: environ_key(name) for name in (b"content-type", b"content-length", *_COMMON_HEADERS.encode().split())
}


def split_mount(path: str, root_path: str, raw_path: bytes | None = None, app_root_path: str = "") -> tuple[str, str]:
    """Split an ASGI path into ``SCRIPT_NAME`` and ``PATH_INFO``.

    Args:
        path: ``scope["path"]``, percent-decoded text.
        root_path: ``scope["root_path"]``; ``""`` when nothing is mounted.
        raw_path: ``scope["raw_path"]``. Where it says the same as *path*, with or without the mount, the
            bytes come from it: *path* holds U+FFFD for each byte that is not UTF-8.
        app_root_path: the part of *root_path* that is the server's own, which Starlette names when it mounts:
            its mounts leave their part in the path even where the server leaves its own out.

    Returns:
        ``(script_name, path_info)`` as native strings. The mount ends at a segment border, and only a path
        that starts with it loses it: Uvicorn and Starlette put the mount into ``path``, other servers, and Starlette
        before 0.33, do not. A path that starts with it by accident keeps it if *raw_path* tells that it was cut.

    Raises:
        ServerError: *root_path* is neither empty nor starts with ``/``.

    Source: PEP 3333 "environ Variables" and "Unicode Issues"; ASGI HTTP specification, "HTTP Connection Scope".
    """
    mount = root_path.rstrip("/")
    if mount and not mount.startswith("/"):
        raise ServerError(f"root_path must be empty or start with '/'; the server sent {root_path!r}")
    script_name = _native(mount)
    mounts = _mounts(mount, app_root_path.rstrip("/")) if mount else ()
    if path.isascii() and not path.startswith(mounts):
        path_info = path
    else:
        path_info = _native_path(path, mounts, raw_path)
        for prefix in map(_native, mounts):
            if path_info == prefix or path_info.startswith(prefix + "/"):
                path_info = path_info[len(prefix) :]
                break
    if not path_info and not script_name:
        path_info = "/"
    return script_name, path_info


def _mounts(mount: str, outer: str) -> tuple[str, ...]:
    """Return what of *mount* can be in a path: all of it, or what a framework has added to the server's *outer*."""
    inner = mount.removeprefix(outer)
    return (mount, inner) if outer and inner.startswith("/") else (mount,)


def _native_path(path: str, mounts: tuple[str, ...], raw_path: bytes | None) -> str:
    """Return *path* as *raw_path* has it, which may be with one of *mounts*, where that was cut from path only.

    That also tells a path that begins like its mount, ``/app`` of ``/app/app``, from one that has the mount in it.
    """
    if raw_path:
        exact = unquote_to_bytes(raw_path.partition(b"?")[0])
        native = exact.decode("latin-1")
        text = exact.decode("utf-8", "replace")
        # Servers decode paths as UTF-8, or as latin-1 (Tremolo).
        if path in (text, native):
            return native
        for mount in mounts:
            if mount + path == text or _native(mount) + path == native:
                return native
    return _native(path)


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte: keep it rather than fail
        return text.encode("utf-8", "surrogatepass")


def _native(text: str) -> str:
    return text if text.isascii() else _encode(text).decode("latin-1")


def _is_no_path(target: str) -> bool:
    return target == "*" or split_absolute_form(target) is not None


def take_target_apart(path: str, raw_path: bytes | None) -> tuple[str, bytes | None, str]:
    """Find the path in a request target that is not just a path.

    Returns:
        ``(path, raw_path, authority)``. *authority* is ``""`` but for the absolute form, which most servers leave
        whole in ``path``. The asterisk form has an empty path.

    Raises:
        BadRequest: it has none of the forms that a request to an origin server can have.

    Source: RFC 9112, 3.2 and 3.3.
    """
    if path in ("", "*"):
        return "", None, ""
    # From raw_path if there is one: in path the escapes are gone, those of the authority among them.
    target = raw_path.partition(b"?")[0].decode("latin-1") if raw_path else path
    parts = split_absolute_form(target)
    if parts is None:
        raise BadRequest(f"a request target starts with '/' or a scheme and a host, or is '*'; got {path!r}")
    authority, rest = parts
    if not raw_path:
        return rest, None, _native(authority)
    raw_rest = rest.encode("latin-1")
    return unquote_to_bytes(raw_rest).decode("utf-8", "replace"), raw_rest, authority


_TLS_VERSIONS: Final = {
    0x0300: "SSLv3",
    0x0301: "TLSv1",
    0x0302: "TLSv1.1",
    0x0303: "TLSv1.2",
    0x0304: "TLSv1.3",
}


def tls_variables(tls: Mapping[str, Any]) -> Environ:
    """Translate the facts of ASGI's TLS extension into the variables of Apache's mod_ssl.

    Source: ASGI TLS extension 0.2; mod_ssl, "Environment Variables". The extension gives the cipher suite as
    its IANA number, so ``SSL_CIPHER`` is that number in hexadecimal, like ``0x1301``.
    """
    variables: Environ = {}
    version = tls.get("tls_version")
    if version is not None:
        variables["SSL_PROTOCOL"] = _TLS_VERSIONS.get(version, f"0x{version:04x}")
    suite = tls.get("cipher_suite")
    if suite is not None:
        variables["SSL_CIPHER"] = f"0x{suite:04x}"
    if tls.get("server_cert"):
        variables["SSL_SERVER_CERT"] = tls["server_cert"]
    chain = list(tls.get("client_cert_chain") or ())
    if chain:
        variables["SSL_CLIENT_CERT"] = chain[0]
        for number, certificate in enumerate(chain[1:]):
            variables[f"SSL_CLIENT_CERT_CHAIN_{number}"] = certificate
    if tls.get("client_cert_name"):
        variables["SSL_CLIENT_S_DN"] = _native(tls["client_cert_name"])
    if tls.get("client_cert_error"):
        variables["SSL_CLIENT_VERIFY"] = f"FAILED:{_native(tls['client_cert_error'])}"
    else:
        variables["SSL_CLIENT_VERIFY"] = "SUCCESS" if chain or tls.get("client_cert_name") else "NONE"
    return variables
