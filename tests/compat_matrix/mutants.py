"""Adapters that are broken on purpose, one mutation each. Knows bridge from outside only, and no framework.

A mutation is a few lines between server and adapter, or between adapter and application. Most can stand on either
side, so one function breaks both directions:

===================  =======================================  =======================================
the function is      in front of a WSGI application           in front of an ASGI application
===================  =======================================  =======================================
ASGI (``asgi``...)   server, *mutation*, WsgiToAsgi           AsgiToWsgi, *mutation*, application
WSGI (``wsgi``)      WsgiToAsgi, *mutation*, application      server, *mutation*, AsgiToWsgi
===================  =======================================  =======================================

``"tests.compat_matrix.mutants:<name>"`` is an adapter of the matrix for each name in ``MUTANTS``.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes, urlencode

import anyio.to_thread

from bridge import AsgiToWsgi, WorkerThreads, WsgiToAsgi
from bridge.protocols import (
    AsgiApplication,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    StartResponse,
    WsgiApplication,
)
from compat_matrix.model import Interface

Pair: TypeAlias = tuple[bytes, bytes]
Text: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Mutant:
    """One broken adapter."""

    name: str
    """Unique; with what it takes behind the mutation's own."""

    breaks: str
    """One line."""

    caught_by: tuple[str, ...]
    """Ids of checks; each has to fail."""

    takes: Interface
    wrap: Callable[[Any], Any]
    app: str
    server: str
    needs: str
    """Import name of the validator that sees it; empty if none is needed."""


MUTANTS: dict[str, Mutant] = {}
"""By name."""


def __getattr__(name: str) -> Callable[[Any], Any]:
    """Give each mutant to ``composition.load``."""
    if name not in MUTANTS:
        raise AttributeError(f"no mutant {name!r}")
    return MUTANTS[name].wrap


# -- how a function becomes a mutant ----------------------------------------------------------------------------------

F = TypeVar("F", bound=Callable[..., Any])
Wrap: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True)
class Mutating:
    """Decorates a function of some shape, and registers what it makes of bridge."""

    shape: Callable[[Any], tuple[Wrap, Wrap]]
    """Gives what wraps a WSGI application, and what wraps an ASGI application."""

    def __call__(
        self,
        breaks: str,
        both: str = "",
        *,
        wsgi: str = "",
        asgi: str = "",
        wsgi_app: str = "flask",
        asgi_app: str = "starlette",
        asgi_on: str = "waitress",
        needs: str = "",
    ) -> Callable[[F], F]:
        """Say what the function breaks and who sees it.

        Args:
            breaks: one line.
            both: the checks that catch it in either direction.
            wsgi: those in front of a WSGI application. Without *both* and this there is no such mutant.
            asgi: those in front of an ASGI application, likewise.
            wsgi_app: the application in the former case.
            asgi_app: the one in the latter.
            asgi_on: the server there. Waitress starts fastest, yet collects uploads and holds nobody back.
            needs: import name of the validator that sees it.
        """

        def register(function: F) -> F:
            of_wsgi, of_asgi = self.shape(function)
            name = function.__name__
            for mutant in (
                Mutant(f"{name}-wsgi", breaks, _ids(wsgi or both), "wsgi", of_wsgi, wsgi_app, "uvicorn-h11", needs),
                Mutant(f"{name}-asgi", breaks, _ids(asgi or both), "asgi", of_asgi, asgi_app, asgi_on, needs),
            ):
                if mutant.caught_by:
                    if mutant.name in MUTANTS:
                        raise ValueError(f"two mutants {mutant.name!r}")
                    MUTANTS[mutant.name] = mutant
            return function

        return register


def _ids(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _around_asgi(mutation: Callable[[AsgiApplication, Scope, Receive, Send], Awaitable[None]]) -> tuple[Wrap, Wrap]:
    def around(application: AsgiApplication) -> AsgiApplication:
        async def mutated(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await mutation(application, scope, receive, send)
            else:
                await application(scope, receive, send)

        return mutated

    return lambda application: around(WsgiToAsgi(application)), lambda application: AsgiToWsgi(around(application))


def _around_wsgi(mutation: Callable[[WsgiApplication, Environ, StartResponse], Any]) -> tuple[Wrap, Wrap]:
    return (
        lambda application: WsgiToAsgi(partial(mutation, application)),
        lambda application: partial(mutation, AsgiToWsgi(application)),
    )


def _of_scope(change: Callable[[Scope], None]) -> tuple[Wrap, Wrap]:
    async def mutation(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "headers": [(name, value) for name, value in scope["headers"]]}
        change(scope)
        await application(scope, receive, send)

    return _around_asgi(mutation)


def _of_headers(change: Callable[[list[Pair]], list[Pair]]) -> tuple[Wrap, Wrap]:
    def of_scope(scope: Scope) -> None:
        scope["headers"] = change(scope["headers"])

    return _of_scope(of_scope)


def _of_receive(change: Callable[[Receive, Scope], Receive]) -> tuple[Wrap, Wrap]:
    return _around_asgi(lambda application, scope, receive, send: application(scope, change(receive, scope), send))


def _of_send(change: Callable[[Send], Send]) -> tuple[Wrap, Wrap]:
    return _around_asgi(lambda application, scope, receive, send: application(scope, receive, change(send)))


def _of_start(change: Callable[[Message, Scope], None]) -> tuple[Wrap, Wrap]:
    async def mutation(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
        async def changed(message: Message) -> None:
            if _begins(message):
                message = {**message, "headers": [(name, value) for name, value in message["headers"]]}
                change(message, scope)
            await send(message)

        await application(scope, receive, changed)

    return _around_asgi(mutation)


def _of_environ(change: Callable[[Environ], None]) -> tuple[Wrap, Wrap]:
    def mutation(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        change(environ)
        return application(environ, start_response)

    return _around_wsgi(mutation)


def _of_start_response(change: Callable[[str, list[Text]], tuple[str, list[Text]]]) -> tuple[Wrap, Wrap]:
    def mutation(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return application(environ, lambda status, headers, *rest: start_response(*change(status, headers), *rest))

    return _around_wsgi(mutation)


adapter = Mutating(lambda wrap: (wrap, wrap))
"""The function takes the application and gives the whole adapter."""

asgi = Mutating(_around_asgi)
"""The function serves an HTTP request by ``application(scope, receive, send)``."""

asgi_scope = Mutating(_of_scope)
"""The function changes a copy of the scope."""

asgi_headers = Mutating(_of_headers)
"""The function gives the request other headers."""

asgi_receive = Mutating(_of_receive)
"""The function makes another ``receive()`` of one; is given the scope, too."""

asgi_start = Mutating(_of_start)
"""The function changes a copy of ``http.response.start``; is given the scope, too."""

asgi_send = Mutating(_of_send)
"""The function makes another ``send()`` of one."""

wsgi = Mutating(_around_wsgi)
"""The function serves a request by ``application(environ, start_response)``."""

wsgi_environ = Mutating(_of_environ)
"""The function changes the environ."""

wsgi_start = Mutating(_of_start_response)
"""The function gives the response another status and other headers."""


def _begins(message: Message) -> bool:
    return bool(message["type"] == "http.response.start")


def _ends(message: Message) -> bool:
    return bool(message["type"] == "http.response.body" and not message.get("more_body", False))


def _values(headers: Iterable[Pair], name: bytes) -> list[bytes]:
    return [value for one, value in headers if one.lower() == name]


def _without(headers: Iterable[Pair], *names: bytes) -> list[Pair]:
    return [(name, value) for name, value in headers if name.lower() not in names]


def _set_path(scope: Scope, path: str) -> None:
    scope["path"] = path
    scope["raw_path"] = None  # may be preferred, and would hide the mutation


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
    _set_path(scope, scope["path"].encode().decode("latin-1"))


@wsgi_environ("PATH_INFO is text, not bytes as latin-1 (PEP 3333)", wsgi="http.request.path.utf8")
def path_as_text(environ: Environ) -> None:
    environ["PATH_INFO"] = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")


@asgi_scope("bytes of the path that are no UTF-8 are lost", wsgi="http.request.path.bytes", wsgi_app="pyramid")
def path_bytes_replaced(scope: Scope) -> None:
    _set_path(scope, scope["path"])


@asgi_scope("bytes of the path that are no UTF-8 are surrogates", asgi="http.request.path.bytes")
def path_bytes_escaped(scope: Scope) -> None:
    _set_path(scope, unquote_to_bytes(scope["raw_path"]).decode("utf-8", "surrogateescape"))


@asgi_scope("the path is not decoded", "http.request.path.utf8")
def path_undecoded(scope: Scope) -> None:
    _set_path(scope, quote(scope["path"]))


@asgi_scope("the path is decoded twice", "http.request.path.escaped")
def path_decoded_twice(scope: Scope) -> None:
    _set_path(scope, unquote(scope["path"]))


@asgi_scope("double slashes become one", "http.request.path.empty")
def path_slashes_joined(scope: Scope) -> None:
    _set_path(scope, re.sub("//+", "/", scope["path"]))


@asgi_scope("a slash at the end is lost", asgi="http.response.slash")
def path_slash_lost(scope: Scope) -> None:
    _set_path(scope, scope["path"].rstrip("/") or "/")


@asgi_scope("dot segments are resolved", "http.request.path.dots")
def path_dots_resolved(scope: Scope) -> None:
    _set_path(scope, posixpath.normpath(scope["path"]))


@asgi_scope("a plus in the path is a space", "http.request.path.delimiters")
def path_plus_is_space(scope: Scope) -> None:
    _set_path(scope, scope["path"].replace("+", " "))


@asgi_scope("the path is cut at 2 kB", asgi="http.request.path.long")
def path_cut(scope: Scope) -> None:
    _set_path(scope, scope["path"][:2048])


_MOUNTED = "http.request.mount http.response.url.mounted http.response.redirect.mounted http.response.slash.mounted"


@asgi_scope("SCRIPT_NAME, or root_path, is lost", _MOUNTED)
def mount_lost(scope: Scope) -> None:
    _set_path(scope, scope["path"].removeprefix(scope["root_path"]))
    scope["root_path"] = ""


@asgi_scope("the mount is there twice", "http.response.url.mounted")
def mount_twice(scope: Scope) -> None:
    _set_path(scope, scope["root_path"] + scope["path"])
    scope["root_path"] *= 2


@wsgi_environ("PATH_INFO repeats SCRIPT_NAME", "http.request.mount")
def mount_in_path(environ: Environ) -> None:
    environ["PATH_INFO"] = environ["SCRIPT_NAME"] + environ["PATH_INFO"]


@asgi_scope("scope['path'] leaves the mount out", asgi="http.response.slash.mounted")
def mount_not_in_path(scope: Scope) -> None:
    _set_path(scope, scope["path"].removeprefix(scope["root_path"]))


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
    return [*_without(headers, b"cookie"), (b"cookie", b", ".join(_values(headers, b"cookie")))]


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
    scope["headers"] = [*_without(scope["headers"], b"host"), (b"host", f"{host}:{port}".encode())]


@asgi_headers("Range is lost", "http.response.file.range")
def range_lost(headers: list[Pair]) -> list[Pair]:
    return _without(headers, b"range")


@asgi_headers("If-None-Match is lost", "http.response.conditional")
def condition_lost(headers: list[Pair]) -> list[Pair]:
    return _without(headers, b"if-none-match")


@asgi_headers("Content-Type is lost", "http.body.bytes http.body.form")
def content_type_lost(headers: list[Pair]) -> list[Pair]:
    return _without(headers, b"content-type")


@asgi_headers("a Content-Type is invented", "http.body.none")
def content_type_invented(headers: list[Pair]) -> list[Pair]:
    return headers if _values(headers, b"content-type") else [*headers, (b"content-type", b"text/plain")]


@asgi_headers("Content-Length is lost", asgi="http.body.bytes")
def content_length_lost(headers: list[Pair]) -> list[Pair]:
    return _without(headers, b"content-length")


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
    forged = _values(headers, b"x_forwarded_for")
    if not forged:
        return headers
    return [*_without(headers, b"x-forwarded-for"), (b"x-forwarded-for", forged[-1])]


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


# -- the request's body -----------------------------------------------------------------------------------------------


def _is_chunked(scope: Scope) -> bool:
    return _values(scope["headers"], b"transfer-encoding") != []


def _body_changed(receive: Receive, change: Callable[[bytes, bool], bytes]) -> Receive:
    async def changed() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            more = message.get("more_body", False)
            return {**message, "body": change(message.get("body", b""), more), "more_body": more}
        return message

    return changed


@asgi_receive("the last byte of a body is lost", wsgi="http.body.chunked.one", asgi="http.body.length.one")
def last_byte_lost(receive: Receive, scope: Scope) -> Receive:
    ahead = b""

    def change(body: bytes, more: bool) -> bytes:
        nonlocal ahead
        body, ahead = (ahead + body)[:-1], (ahead + body)[-1:]
        return body

    return _body_changed(receive, change)


@asgi_receive("a body loses the byte that would fill 64 KiB", "http.body.length.edges http.body.chunked.edges")
def byte_at_border_lost(receive: Receive, scope: Scope) -> Receive:
    read = 0

    def change(body: bytes, more: bool) -> bytes:
        nonlocal read
        at, read = 65_535 - read, read + len(body)
        return body[:at] + body[at + 1 :] if 0 <= at < len(body) else body

    return _body_changed(receive, change)


@asgi_receive("of a body only 1 MiB arrives", asgi="http.body.length.large")
def large_body_cut(receive: Receive, scope: Scope) -> Receive:
    read = 0

    def change(body: bytes, more: bool) -> bytes:
        nonlocal read
        body, read = body[: max(0, 1_048_576 - read)], read + len(body)
        return body

    return _body_changed(receive, change)


@asgi_receive("a body is taken for text", "http.body.bytes")
def body_is_text(receive: Receive, scope: Scope) -> Receive:
    return _body_changed(receive, lambda body, more: body.decode("ascii", "replace").encode("ascii", "replace"))


@asgi_receive("line ends of a body are changed", asgi="http.body.multipart.files")
def body_lines_changed(receive: Receive, scope: Scope) -> Receive:
    return _body_changed(receive, lambda body, more: body.replace(b"\n", b"\r"))


@asgi_receive("a body of GET is ignored", "http.body.get")
def body_of_get_lost(receive: Receive, scope: Scope) -> Receive:
    return _body_changed(receive, lambda body, more: b"" if scope["method"] == "GET" else body)


@asgi_receive("chunked bodies are ignored", "http.body.chunked.one", asgi_on="gunicorn-gthread")
def chunked_body_lost(receive: Receive, scope: Scope) -> Receive:
    return _body_changed(receive, lambda body, more: b"" if _is_chunked(scope) else body)


@asgi_receive("of a body only the first message is read", wsgi="http.body.chunked.large")
def first_message_only(receive: Receive, scope: Scope) -> Receive:
    taken = False

    async def first() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request" and not taken:
            taken = True
            return {**message, "more_body": False}
        return message

    return first


@asgi_receive("an empty body never ends", wsgi="http.body.chunked.empty", asgi="http.body.length.empty")
def empty_body_endless(receive: Receive, scope: Scope) -> Receive:
    async def with_bytes() -> Message:
        while not (message := await receive()).get("body") and message["type"] != "http.disconnect":
            pass
        return message

    return with_bytes


@asgi_receive("a body that broke off is complete", "http.upload.cut.chunked", asgi_on="gunicorn-gthread")
def cut_body_complete(receive: Receive, scope: Scope) -> Receive:
    async def completed() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            return {"type": "http.request", "body": b"", "more_body": False}
        return message

    return completed


@asgi_receive("uploads are collected before they are handed on", "http.upload.streamed", asgi_on="gunicorn-gthread")
def buffers_uploads(receive: Receive, scope: Scope) -> Receive:
    begun = False

    async def collected() -> Message:
        nonlocal begun
        message = await receive()
        if begun or message["type"] != "http.request":
            return message
        begun, body = True, bytearray(message.get("body", b""))
        while message.get("more_body", False):
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return collected


@asgi(
    "an upload is collected before the application is called",
    wsgi="http.expect.refused http.body.unread.early",
    asgi="http.body.unread.early",
    asgi_on="gunicorn-gthread",
)
async def reads_before_the_call(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())

    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    await application(scope, replayed, send)


@asgi_receive("a body after Expect: 100-continue is not read", "http.expect.continue http.expect.unawaited")
def expected_body_lost(receive: Receive, scope: Scope) -> Receive:
    async def empty() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    return empty if _values(scope["headers"], b"expect") else receive


# -- status and headers of the response -------------------------------------------------------------------------------


@asgi_start("a header is added", "http.response.text")
def header_added(message: Message, scope: Scope) -> None:
    message["headers"].append((b"x-powered-by", b"bridge"))


@asgi_start("Content-Length is a byte too large", wsgi="http.response.length")
def length_too_large(message: Message, scope: Scope) -> None:
    for value in _values(message["headers"], b"content-length"):
        message["headers"] = [
            *_without(message["headers"], b"content-length"),
            (b"content-length", b"%d" % (int(value) + 1)),
        ]


@asgi_start("Content-Length is lost", "http.response.download.declared http.download.declared")
def length_lost(message: Message, scope: Scope) -> None:
    message["headers"] = _without(message["headers"], b"content-length")


@asgi_start("HEAD has a length of 0", "http.response.head.length")
def length_of_head_zero(message: Message, scope: Scope) -> None:
    if scope["method"] == "HEAD":
        message["headers"] = [*_without(message["headers"], b"content-length"), (b"content-length", b"0")]


@asgi_start("204 has a length", wsgi="http.response.204")
def length_of_204(message: Message, scope: Scope) -> None:
    if message["status"] == 204:
        message["headers"].append((b"content-length", b"5"))


@asgi_start("of cookies that are set the last is kept", wsgi="http.response.cookies")
def set_cookies_lost(message: Message, scope: Scope) -> None:
    message["headers"] = list(dict(message["headers"]).items())


@asgi_start("cookies that are set are joined by a comma", "http.response.cookies http.response.headers.repeated")
def set_cookies_joined(message: Message, scope: Scope) -> None:
    cookies = _values(message["headers"], b"set-cookie")
    message["headers"] = _without(message["headers"], b"set-cookie")
    if cookies:
        message["headers"].append((b"set-cookie", b", ".join(cookies)))


@asgi_start("cookies lose their attributes", asgi="http.response.cookies")
def cookie_attributes_lost(message: Message, scope: Scope) -> None:
    message["headers"] = [
        (name, value.partition(b";")[0] if name.lower() == b"set-cookie" else value)
        for name, value in message["headers"]
    ]


@asgi_start("headers are reversed", "http.response.headers.repeated")
def response_headers_reversed(message: Message, scope: Scope) -> None:
    message["headers"].reverse()


@asgi_start("headers are cut at 4 kB", wsgi="http.response.headers.large")
def response_header_cut(message: Message, scope: Scope) -> None:
    message["headers"] = [(name, value[:4096]) for name, value in message["headers"]]


@asgi_start("the 41st header and its like are lost", asgi="http.response.headers.large")
def many_response_headers_lost(message: Message, scope: Scope) -> None:
    del message["headers"][40:]


@asgi_start("a status it does not know is 400", "http.response.error.http.right")
def status_replaced(message: Message, scope: Scope) -> None:
    if message["status"] not in (200, 204, 206, 301, 302, 303, 304, 307, 308, 400, 403, 404, 405, 500):
        message["status"] = 400


@asgi_start("a redirect is permanent", asgi="http.response.redirect.same")
def redirect_permanent(message: Message, scope: Scope) -> None:
    message["status"] = 301 if message["status"] // 100 == 3 else message["status"]


@asgi_start("Location is an absolute URL", wsgi="http.response.redirect.same")
def location_absolute(message: Message, scope: Scope) -> None:
    message["headers"] = [
        (name, b"http://test" + value if name == b"location" and value[:1] == b"/" else value)
        for name, value in message["headers"]
    ]


@asgi_start("304 is 200", "http.response.304 http.response.conditional")
def not_modified_is_200(message: Message, scope: Scope) -> None:
    message["status"] = 200 if message["status"] == 304 else message["status"]


@asgi_start("an ETag is made a weak one", asgi="http.response.conditional")
def etag_weakened(message: Message, scope: Scope) -> None:
    message["headers"] = [
        (name, b"W/" + value if name.lower() == b"etag" else value) for name, value in message["headers"]
    ]


@asgi_start("the type's charset is lost", "http.response.right")
def charset_lost(message: Message, scope: Scope) -> None:
    message["headers"] = [
        (name, value.partition(b";")[0] if name.lower() == b"content-type" else value)
        for name, value in message["headers"]
    ]


@asgi_start("each response ends its connection", wsgi="http.keep_alive")
def connection_closed(message: Message, scope: Scope) -> None:
    message["headers"].append((b"connection", b"close"))


@wsgi_start("the status has no reason phrase", asgi="validators.responses")
def phrase_lost(status: str, headers: list[Text]) -> tuple[str, list[Text]]:
    return status[:3], headers


@wsgi_start("Content-Length is a byte too large", asgi="http.response.length")
def declared_length_too_large(status: str, headers: list[Text]) -> tuple[str, list[Text]]:
    return status, [
        (name, str(int(value) + 1) if name.lower() == "content-length" else value) for name, value in headers
    ]


@wsgi_start("Content-Length is there twice", asgi="http.response.single", asgi_on="gunicorn-gthread")
def length_twice(status: str, headers: list[Text]) -> tuple[str, list[Text]]:
    return status, [*headers, *(pair for pair in headers if pair[0].lower() == "content-length")]


@wsgi_environ("HEAD has a body", asgi="http.response.head.bare", asgi_on="wsgiref")
def head_is_get(environ: Environ) -> None:
    environ["REQUEST_METHOD"] = environ["REQUEST_METHOD"].replace("HEAD", "GET")


@wsgi("204 and 304 have a body", asgi="http.response.204 http.response.304", asgi_on="wsgiref")
def has_always_a_body(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    yield from application(environ, start_response)
    if environ["PATH_INFO"].startswith("/status/"):
        yield b"nothing"


# -- the response's body ----------------------------------------------------------------------------------------------


def _is_body(message: Message) -> bool:
    return bool(message["type"] == "http.response.body")


@asgi_send("a response is collected before it is sent", "http.stream.first")
def buffers_streams(send: Send) -> Send:
    held: list[Message] = []

    async def hold(message: Message) -> None:
        held.append(message)
        while held and (_ends(message) or not _is_body(message)):
            await send(held.pop(0))

    return hold


@asgi_send("a chunk is sent when the next one comes", "http.stream.first")
def sends_late(send: Send) -> Send:
    held: list[Message] = []

    async def late(message: Message) -> None:
        held.append(message)
        while len(held) > 1 or (held and (_ends(message) or not _is_body(message))):
            await send(held.pop(0))

    return late


@asgi_send("all chunks after the first are joined", "http.stream.each")
def joins_chunks(send: Send) -> Send:
    held: list[Message] = []
    sent = 0

    async def joined(message: Message) -> None:
        nonlocal sent
        held.append(message)
        while held and (sent < 2 or _ends(message)):
            sent += 1
            await send(held.pop(0))

    return joined


@asgi_send("a body with a length is collected before it is sent", "http.stream.declared")
def buffers_declared(send: Send) -> Send:
    held: list[Message] = []
    declared = False

    async def hold(message: Message) -> None:
        nonlocal declared
        if _begins(message):
            declared = _values(message["headers"], b"content-length") != []
        held.append(message)
        while held and (_ends(message) or not declared or _begins(message)):
            await send(held.pop(0))

    return hold


def _bodies_changed(send: Send, change: Callable[[bytes], bytes]) -> Send:
    async def changed(message: Message) -> None:
        await send({**message, "body": change(message.get("body", b""))} if _is_body(message) else message)

    return changed


@asgi_send("chunks are cut at 65,535 bytes", "http.response.download")
def chunks_cut(send: Send) -> Send:
    return _bodies_changed(send, lambda body: body[:65_535])


@asgi_send("line ends are changed", wsgi="http.response.right")
def lines_changed(send: Send) -> Send:
    return _bodies_changed(send, lambda body: body.replace(b"\n", b"\r"))


@asgi_send("a body is taken for UTF-8", asgi="http.response.download")
def body_is_utf8(send: Send) -> Send:
    return _bodies_changed(send, lambda body: body.decode("utf-8", "replace").encode("latin-1", "replace"))


@asgi_send("chunks are sent twice", "http.stream.complete")
def sends_twice(send: Send) -> Send:
    async def twice(message: Message) -> None:
        await send(message)
        if _is_body(message) and message.get("more_body", False):
            await send(message)

    return twice


@asgi_send("the last message's bytes are lost", wsgi="http.response.right")
def last_chunk_lost(send: Send) -> Send:
    async def cut(message: Message) -> None:
        await send({**message, "body": b""} if _ends(message) else message)

    return cut


@wsgi("every second chunk overtakes the one before", wsgi="http.events")
def swaps_iterated(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    chunks = iter(application(environ, start_response))
    for chunk in chunks:
        yield next(chunks, b"")
        yield chunk


@asgi_send("every second chunk overtakes the one before", asgi="http.events")
def swaps_chunks(send: Send) -> Send:
    held: list[Message] = []

    async def swapped(message: Message) -> None:
        if _is_body(message) and not _ends(message) and not held:
            held.append(message)
        elif _ends(message):
            for one in (*held, message):
                await send(one)
        else:
            await send(message)
            while held:
                await send(held.pop())

    return swapped


@asgi_send("a message is sent after the last one", wsgi="validators.responses", needs="asgion")
def goes_on_after_the_end(send: Send) -> Send:
    async def once_more(message: Message) -> None:
        await send(message)
        if _ends(message):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return once_more


@wsgi("chunks are no bytes", asgi="validators.streams")
def chunks_are_bytearrays(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    return map(bytearray, application(environ, start_response))


@wsgi_environ("a file's bytes are lost", "http.response.file")
def file_lost(environ: Environ) -> None:
    environ["wsgi.file_wrapper"] = lambda file, size=0: [b""]


@asgi("send() never waits", "backpressure.held", asgi_on="gunicorn-gthread")
async def holds_nobody_back(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    messages: asyncio.Queue[Message] = asyncio.Queue()

    async def forward() -> None:
        while True:
            message = await messages.get()
            await send(message)
            if _ends(message):
                return

    task = asyncio.create_task(forward())
    await application(scope, receive, messages.put)
    await task


# -- errors -----------------------------------------------------------------------------------------------------------


@asgi(
    "a response whose application fails ends like a complete one",
    "http.response.truncated",
    asgi_on="gunicorn-gthread",
)
async def truncates_silently(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await application(scope, receive, send)
    except Exception:
        traceback.print_exc()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@asgi("a response whose application fails does not end", "http.response.truncated", asgi_on="gunicorn-gthread")
async def hangs_after_failure(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await application(scope, receive, send)
    except Exception:
        traceback.print_exc()
        await asyncio.Event().wait()


@asgi("a late error loses its traceback", "http.response.truncated.logged", asgi_on="gunicorn-gthread")
async def late_error_lost(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await application(scope, receive, send)
    except Exception:
        raise RuntimeError("failed") from None


@asgi_send("a response that is too short is filled up", asgi="http.response.short")
def fills_up(send: Send) -> Send:
    missing = 0

    async def filled(message: Message) -> None:
        nonlocal missing
        if _begins(message):
            missing = int([*_values(message["headers"], b"content-length"), b"0"][0])
        elif _is_body(message):
            missing -= len(message.get("body", b""))
            if _ends(message) and missing > 0:
                message = {**message, "body": message.get("body", b"") + bytes(missing)}
        await send(message)

    return filled


@asgi(
    "an error before the response is an empty 200",
    wsgi="http.failure.before http.response.error",
    wsgi_app="pyramid",
)
async def failure_is_200(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await application(scope, receive, send)
    except Exception:
        traceback.print_exc()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})


@asgi("the client gets the traceback", wsgi="http.failure.private http.response.error", wsgi_app="pyramid")
async def leaks_traceback(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await application(scope, receive, send)
    except Exception:
        traceback.print_exc()
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": traceback.format_exc().encode()})


@asgi("an error before the response is not logged", wsgi="http.failure.logged", wsgi_app="pyramid")
async def failure_not_logged(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await application(scope, receive, send)
    except Exception:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body"})


# -- clients that leave, iterables that are closed --------------------------------------------------------------------


@asgi_receive("http.disconnect never comes", wsgi="disconnect.endless")
def never_disconnects(receive: Receive, scope: Scope) -> Receive:
    async def patient() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            await asyncio.Event().wait()
        return message

    return patient


@asgi_receive(
    "http.disconnect comes after the request",
    wsgi="backpressure.resumed",
    asgi="http.stream.complete",
    asgi_app="quart",
)
def disconnects_at_once(receive: Receive, scope: Scope) -> Receive:
    ended = False

    async def hasty() -> Message:
        nonlocal ended
        if ended:
            return {"type": "http.disconnect"}
        message = await receive()
        ended = not message.get("more_body", False)
        return message

    return hasty


@wsgi("close() is not called", wsgi="validators.streams")
def drops_close(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return map(bytes, application(environ, start_response))


_kept: list[Any] = []


@wsgi("what is not closed is kept", "disconnect.endless")
def keeps_iterables(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _kept.append(iter(application(environ, start_response)))
    return map(bytes, _kept[-1])


@wsgi("close() is called before the body", asgi="http.stream.complete")
def closes_first(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body: Any = application(environ, start_response)
    body.close()
    return map(bytes, body)


@wsgi("close() is called after each chunk", wsgi="http.stream.complete")
def closes_early(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    body: Any = application(environ, start_response)
    for chunk in body:
        yield chunk
        body.close()


@wsgi("close() is called twice", wsgi="validators.streams")
def closes_twice(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    body: Any = application(environ, start_response)
    try:
        yield from body
    finally:
        body.close()
        body.close()


# -- at the same time, one after another ------------------------------------------------------------------------------

_one = threading.Lock()


@wsgi("requests wait for each other", "concurrency.blocking")
def one_by_one(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    with _one:
        iterable = application(environ, start_response)
        try:
            yield from iterable
        finally:
            getattr(iterable, "close", int)()


class _OnTheLoop(WorkerThreads):
    def submit(self, job: Any, max_pending: int | None = None) -> bool:
        job.run()
        job.finish()
        return True


@adapter("the application runs on the event loop", wsgi="concurrency.others")
def blocks_the_loop(application: Any) -> Any:
    return WsgiToAsgi(application, threads=_OnTheLoop(1))


@adapter("plain views run on the event loop", asgi="concurrency.others")
def blocks_the_loop_of_views(application: Any) -> Any:
    async def here(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return function(*args)

    vars(anyio.to_thread)["run_sync"] = here
    return AsgiToWsgi(application)


_context = copy_context()


@wsgi("requests share a context", wsgi="concurrency.contexts.later http.response.context")
def shares_context(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    return _context.run(application, environ, start_response)


_carried: dict[ContextVar[Any], Any] = {}


@asgi("context variables are carried on to the next request", asgi="concurrency.contexts.later http.response.context")
async def carries_context(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    for variable, value in _carried.items():
        variable.set(value)
    await application(scope, receive, send)
    _carried.update(copy_context())


_sends: list[Send] = []


@asgi("responses go to who has asked last", "concurrency.streams")
async def shares_send(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    _sends.append(send)
    await application(scope, receive, lambda message: _sends[-1](message))


_targets: dict[Any, str] = {}


@asgi_scope("a connection's second request is taken for its first", "http.keep_alive http.pipelining")
def repeats_request(scope: Scope) -> None:
    _set_path(scope, _targets.setdefault(tuple(scope["client"]), scope["path"]))


# -- where it runs, lifespan ------------------------------------------------------------------------------------------


@wsgi("the application is called where an event loop runs", wsgi="http.response.async")
def called_in_a_loop(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    async def call() -> Any:
        return application(environ, start_response)

    return asyncio.run(call())


@adapter("startup is left out", asgi="lifespan.startup")
def startup_left_out(application: Any) -> Any:
    return AsgiToWsgi(application, lifespan="off")


@asgi_scope("what startup left in the state is lost", asgi="lifespan.startup")
def state_lost(scope: Scope) -> None:
    scope["state"] = {}


@asgi("what the application does after its response delays it", asgi="background.after background.left")
async def background_first(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    last: list[Message] = []

    async def hold(message: Message) -> None:
        if _ends(message):
            last.append(message)
        else:
            await send(message)

    await application(scope, receive, hold)
    for message in last:
        await send(message)


@asgi("the application is cancelled once its response is complete", asgi="background.after background.left")
async def background_cancelled(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    complete = asyncio.Event()

    async def watched(message: Message) -> None:
        await send(message)
        if _ends(message):
            complete.set()

    task = asyncio.ensure_future(application(scope, receive, watched))
    done = asyncio.create_task(complete.wait())
    await asyncio.wait((task, done), return_when=asyncio.FIRST_COMPLETED)
    task.cancel()


# -- what only validators see -----------------------------------------------------------------------------------------


@wsgi_environ("SERVER_PORT is a number", wsgi="validators.requests")
def port_is_number(environ: Environ) -> None:
    environ["SERVER_PORT"] = int(environ["SERVER_PORT"])


@wsgi_environ("wsgi.input has no readline()", wsgi="validators.requests")
def input_is_not_a_file(environ: Environ) -> None:
    environ["wsgi.input"] = SimpleNamespace(read=environ["wsgi.input"].read)


@asgi_scope("the query string is text", asgi="validators.requests", needs="asgion")
def query_is_text(scope: Scope) -> None:
    scope["query_string"] = scope["query_string"].decode()


@asgi_scope("the scope has no version", asgi="validators.requests", needs="asgion")
def version_lost(scope: Scope) -> None:
    del scope["asgi"]
