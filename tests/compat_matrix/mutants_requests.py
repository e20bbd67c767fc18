"""Broken adapters that get wrong what an application learns of a request: target, addresses, headers."""

from __future__ import annotations

import posixpath
import re
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes, urlencode

from bridge import WsgiToAsgi
from bridge.protocols import (
    Environ,
    Receive,
    Scope,
    Send,
    StartResponse,
)
from tests.compat_matrix.mutating import (
    Pair,
    adapter,
    asgi_headers,
    asgi_scope,
    set_path,
    values,
    without,
    wsgi_environ,
)

# -- method, target, addresses ----------------------------------------------------------------------------------------


@asgi_scope("the query is decoded and encoded again", "http.request.query")
def query_encoded_anew(scope: Scope) -> None:
    scope["query_string"] = quote(unquote_to_bytes(scope["query_string"]), safe="=&").encode()


@asgi_scope("arguments without a value are lost", asgi="http.request.query")
def drops_blank_arguments(scope: Scope) -> None:
    scope["query_string"] = urlencode(parse_qsl(scope["query_string"].decode())).encode()


@asgi_scope("of repeated arguments the last is kept", wsgi="http.request.query.args")
def keeps_last_argument(scope: Scope) -> None:
    scope["query_string"] = urlencode(dict(parse_qsl(scope["query_string"].decode()))).encode()


@asgi_scope("the path is decoded as latin-1", "http.request.path.utf8")
def path_as_latin1(scope: Scope) -> None:
    set_path(scope, scope["path"].encode().decode("latin-1"))


@wsgi_environ("PATH_INFO is text, not bytes as latin-1 (PEP 3333)", wsgi="http.request.path.utf8")
def path_as_text(environ: Environ) -> None:
    environ["PATH_INFO"] = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")


@asgi_scope("bytes of the path that are no UTF-8 are lost", wsgi="http.request.path.bytes", wsgi_app="pyramid")
def path_bytes_replaced(scope: Scope) -> None:
    set_path(scope, scope["path"])


@asgi_scope("bytes of the path that are no UTF-8 are surrogates", asgi="http.request.path.bytes")
def path_bytes_escaped(scope: Scope) -> None:
    set_path(scope, unquote_to_bytes(scope["raw_path"]).decode("utf-8", "surrogateescape"))


@asgi_scope("the path is not decoded", "http.request.path.utf8")
def path_undecoded(scope: Scope) -> None:
    set_path(scope, quote(scope["path"]))


@asgi_scope("the path is decoded twice", "http.request.path.escaped")
def path_decoded_twice(scope: Scope) -> None:
    set_path(scope, unquote(scope["path"]))


@asgi_scope("double slashes become one", "http.request.path.empty")
def path_slashes_joined(scope: Scope) -> None:
    set_path(scope, re.sub("//+", "/", scope["path"]))


@asgi_scope("a slash at the end is lost", asgi="http.response.slash")
def path_slash_lost(scope: Scope) -> None:
    set_path(scope, scope["path"].rstrip("/") or "/")


@asgi_scope("dot segments are resolved", "http.request.path.dots")
def path_dots_resolved(scope: Scope) -> None:
    set_path(scope, posixpath.normpath(scope["path"]))


@asgi_scope("a plus in the path is a space", "http.request.path.delimiters")
def path_plus_is_space(scope: Scope) -> None:
    set_path(scope, scope["path"].replace("+", " "))


@asgi_scope("the path is cut at 2 kB", asgi="http.request.path.long")
def path_cut(scope: Scope) -> None:
    set_path(scope, scope["path"][:2048])


_MOUNTED = "http.request.mount http.response.url.mounted http.response.redirect.mounted http.response.slash.mounted"


@asgi_scope("SCRIPT_NAME, or root_path, is lost", _MOUNTED)
def mount_lost(scope: Scope) -> None:
    set_path(scope, scope["path"].removeprefix(scope["root_path"]))
    scope["root_path"] = ""


@asgi_scope("the mount is there twice", "http.response.url.mounted")
def mount_twice(scope: Scope) -> None:
    set_path(scope, scope["root_path"] + scope["path"])
    scope["root_path"] *= 2


@wsgi_environ("PATH_INFO repeats SCRIPT_NAME", "http.request.mount")
def mount_in_path(environ: Environ) -> None:
    environ["PATH_INFO"] = environ["SCRIPT_NAME"] + environ["PATH_INFO"]


@asgi_scope("scope['path'] leaves the mount out", asgi="http.response.slash.mounted")
def mount_not_in_path(scope: Scope) -> None:
    set_path(scope, scope["path"].removeprefix(scope["root_path"]))


@asgi_scope("the scheme is https", "http.request.scheme")
def scheme_wrong(scope: Scope) -> None:
    scope["scheme"] = "https"


@asgi_scope("the client's address is lost", "http.request.client")
def client_lost(scope: Scope) -> None:
    scope["client"] = None


@asgi_scope("the method is in lower case", asgi="http.request.method")
def method_lower_case(scope: Scope) -> None:
    scope["method"] = scope["method"].lower()


@asgi_scope("a method that is not GET, HEAD or POST is POST", wsgi="http.request.method")
def method_narrowed(scope: Scope) -> None:
    scope["method"] = scope["method"] if scope["method"] in ("GET", "HEAD") else "POST"


@asgi_scope(
    "the server's address is that of the Host header",
    "raw.server",
    wsgi_app="pep3333",
    asgi_app="asgi3",
)
def server_of_the_host(scope: Scope) -> None:
    scope["server"] = (values(scope["headers"], b"host")[0].decode(), 80)


@asgi_scope("the version is always 1.1", "raw.version", wsgi_app="pep3333", asgi_app="asgi3")
def version_constant(scope: Scope) -> None:
    scope["http_version"] = "1.1"


# -- headers of the request -------------------------------------------------------------------------------------------


@asgi_headers("bytes that are not ASCII are lost", "http.request.header.bytes")
def header_bytes_lost(headers: list[Pair]) -> list[Pair]:
    return [(name, value.decode("ascii", "ignore").encode()) for name, value in headers]


@asgi_headers("values are encoded again", wsgi="http.request.header.bytes")
def header_bytes_encoded(headers: list[Pair]) -> list[Pair]:
    return [(name, value.decode("latin-1").encode()) for name, value in headers]


@asgi_headers("empty headers are lost", "http.request.header.empty")
def empty_headers_lost(headers: list[Pair]) -> list[Pair]:
    return [(name, value) for name, value in headers if value]


@asgi_headers("of repeated headers the last is kept", wsgi="http.request.header.repeated")
def repeated_headers_lost(headers: list[Pair]) -> list[Pair]:
    return list(dict(headers).items())


@asgi_headers("the order of repeated headers is lost", wsgi="http.request.header.repeated")
def repeated_headers_reversed(headers: list[Pair]) -> list[Pair]:
    return headers[::-1]


@wsgi_environ("of a list of values the last is kept", asgi="http.request.header.repeated")
def listed_values_lost(environ: Environ) -> None:
    environ.update({name: value.rpartition(",")[2] for name, value in environ.items() if name.startswith("HTTP_X_")})


@asgi_headers("Cookie headers are joined by a comma", wsgi="http.request.cookies.lines")
def cookies_joined_by_comma(headers: list[Pair]) -> list[Pair]:
    return [*without(headers, b"cookie"), (b"cookie", b", ".join(values(headers, b"cookie")))]


@asgi_headers("cookies lose their quotes", wsgi="http.request.cookies.odd")
def cookies_unquoted(headers: list[Pair]) -> list[Pair]:
    return [(name, value.replace(b'"', b"") if name == b"cookie" else value) for name, value in headers]


@asgi_headers("values are in lower case", wsgi="http.request.header.case")
def header_values_lower_case(headers: list[Pair]) -> list[Pair]:
    return [(name, value.lower()) for name, value in headers]


@asgi_headers("names are capitalised", asgi="http.request.header.case")
def header_names_capitalised(headers: list[Pair]) -> list[Pair]:
    return [(name.title(), value) for name, value in headers]


@asgi_headers("runs of spaces become one", asgi="http.request.header.space")
def header_spaces_joined(headers: list[Pair]) -> list[Pair]:
    return [(name, b" ".join(value.split())) for name, value in headers]


@asgi_headers("headers are cut at 4 kB", wsgi="http.request.header.long")
def header_cut(headers: list[Pair]) -> list[Pair]:
    return [(name, value[:4096]) for name, value in headers]


@asgi_headers("the 65th header and its like are lost", asgi="http.request.header.many")
def many_headers_lost(headers: list[Pair]) -> list[Pair]:
    return headers[:64]


@asgi_headers("Host loses its port", wsgi="http.request.host")
def host_without_port(headers: list[Pair]) -> list[Pair]:
    return [(name, value.partition(b":")[0] if name == b"host" else value) for name, value in headers]


@asgi_scope("Host is the server's address", asgi="http.request.host")
def host_of_the_server(scope: Scope) -> None:
    host, port = scope["server"]
    scope["headers"] = [*without(scope["headers"], b"host"), (b"host", f"{host}:{port}".encode())]


@asgi_headers("Range is lost", "http.response.file.range")
def range_lost(headers: list[Pair]) -> list[Pair]:
    return without(headers, b"range")


@asgi_headers("If-None-Match is lost", "http.response.conditional")
def condition_lost(headers: list[Pair]) -> list[Pair]:
    return without(headers, b"if-none-match")


@asgi_headers("Content-Type is lost", "http.body.bytes http.body.form")
def content_type_lost(headers: list[Pair]) -> list[Pair]:
    return without(headers, b"content-type")


@asgi_headers("a Content-Type is invented", "http.body.none")
def content_type_invented(headers: list[Pair]) -> list[Pair]:
    return headers if values(headers, b"content-type") else [*headers, (b"content-type", b"text/plain")]


@asgi_headers("Content-Length is lost", asgi="http.body.bytes")
def content_length_lost(headers: list[Pair]) -> list[Pair]:
    return without(headers, b"content-length")


@asgi_headers("Authorization is lost, as of CGI", "http.request.header.common")
def authorization_lost(headers: list[Pair]) -> list[Pair]:
    return without(headers, b"authorization")


@asgi_headers("Accept-Encoding is lost", wsgi="http.request.header.common")
def accept_encoding_lost(headers: list[Pair]) -> list[Pair]:
    return without(headers, b"accept-encoding")


@asgi_headers("Referer and Origin are lost", asgi="http.request.header.common")
def origin_lost(headers: list[Pair]) -> list[Pair]:
    return without(headers, b"referer", b"origin")


@asgi_headers("Via is lost", wsgi="http.request.header.common")
def via_lost(headers: list[Pair]) -> list[Pair]:
    return without(headers, b"via")


# -- forging ----------------------------------------------------------------------------------------------------------


@asgi_headers(
    "an underscore in a header's name is a hyphen",
    wsgi="http.forging.underscore.before http.forging.underscore.after http.forging.underscore.alone"
    " http.forging.content http.forging.content.body",
)
def underscores_joined(headers: list[Pair]) -> list[Pair]:
    return [(name.replace(b"_", b"-"), value) for name, value in headers]


@asgi_headers(
    "X_Forwarded_For overrides X-Forwarded-For",
    wsgi="http.forging.underscore.before http.forging.underscore.after",
)
def underscores_override(headers: list[Pair]) -> list[Pair]:
    forged = values(headers, b"x_forwarded_for")
    if not forged:
        return headers
    return [*without(headers, b"x-forwarded-for"), (b"x-forwarded-for", forged[-1])]


@asgi_headers("underscores around a header's name are lost", wsgi="http.forging.underscore.cookie")
def underscores_stripped(headers: list[Pair]) -> list[Pair]:
    return [(name.strip(b"_"), value) for name, value in headers]


@adapter("Proxy becomes HTTP_PROXY", wsgi="http.forging.proxy")
def keeps_proxy(application: Any) -> Any:
    def with_proxy(environ: Environ, start_response: StartResponse) -> Any:
        if "HTTP_HIDDEN" in environ:
            environ["HTTP_PROXY"] = environ.pop("HTTP_HIDDEN")
        return application(environ, start_response)

    adapted = WsgiToAsgi(with_proxy)

    async def hiding(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"hidden" if name == b"proxy" else name, value) for name, value in scope.get("headers", ())]
        await adapted({**scope, "headers": headers}, receive, send)

    return hiding


@wsgi_environ("headers replace variables", "http.forging.variables")
def headers_are_variables(environ: Environ) -> None:
    environ.update({name[5:]: value for name, value in environ.items() if name[:5] == "HTTP_" and name[5:] in environ})


@asgi_scope("X-HTTP-Method-Override is obeyed", "http.forging.method")
def method_override_obeyed(scope: Scope) -> None:
    for value in values(scope["headers"], b"x-http-method-override"):
        scope["method"] = value.decode()


@asgi_scope("X-Forwarded-Host is obeyed", "http.forging.forwarded", asgi_on="gunicorn-gthread")
def forwarded_host_obeyed(scope: Scope) -> None:
    for value in values(scope["headers"], b"x-forwarded-host"):
        scope["headers"] = [*without(scope["headers"], b"host"), (b"host", value)]


@asgi_scope("X-Forwarded-Prefix is obeyed", wsgi="http.forging.forwarded")
def forwarded_prefix_obeyed(scope: Scope) -> None:
    for value in values(scope["headers"], b"x-forwarded-prefix"):
        scope["root_path"] = value.decode()
        set_path(scope, value.decode() + scope["path"])


@asgi_scope("X-Script-Name is obeyed", asgi="http.forging.forwarded")
def script_name_obeyed(scope: Scope) -> None:
    for value in values(scope["headers"], b"x-script-name"):
        scope["root_path"] = value.decode()
        set_path(scope, value.decode() + scope["path"])


@asgi_scope("X-Original-URL is obeyed", "http.forging.forwarded")
def original_url_obeyed(scope: Scope) -> None:
    for value in values(scope["headers"], b"x-original-url"):
        set_path(scope, value.decode())
