"""Broken adapters that get a response's status or headers wrong, or how an error ends it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

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
from tests.compat_matrix.mutating import (
    Text,
    asgi,
    asgi_send,
    asgi_start,
    begins,
    ends,
    is_body,
    values,
    without,
    wsgi,
    wsgi_environ,
    wsgi_start,
)

# -- status and headers of the response -------------------------------------------------------------------------------


@asgi_start("a header is added", "http.response.text")
def header_added(message: Message, scope: Scope) -> None:
    message["headers"].append((b"x-powered-by", b"bridge"))


@asgi_start("Content-Length is a byte too large", wsgi="http.response.length")
def length_too_large(message: Message, scope: Scope) -> None:
    for value in values(message["headers"], b"content-length"):
        message["headers"] = [
            *without(message["headers"], b"content-length"),
            (b"content-length", b"%d" % (int(value) + 1)),
        ]


@asgi_start("Content-Length is lost", "http.response.download.declared http.download.declared")
def length_lost(message: Message, scope: Scope) -> None:
    message["headers"] = without(message["headers"], b"content-length")


@asgi_start("HEAD has a length of 0", "http.response.head.length")
def length_of_head_zero(message: Message, scope: Scope) -> None:
    if scope["method"] == "HEAD":
        message["headers"] = [*without(message["headers"], b"content-length"), (b"content-length", b"0")]


@asgi_start("204 has a length", wsgi="http.response.204")
def length_of_204(message: Message, scope: Scope) -> None:
    if message["status"] == 204:
        message["headers"].append((b"content-length", b"5"))


@asgi_start("of cookies that are set the last is kept", wsgi="http.response.cookies")
def set_cookies_lost(message: Message, scope: Scope) -> None:
    message["headers"] = list(dict(message["headers"]).items())


@asgi_start("cookies that are set are joined by a comma", "http.response.cookies http.response.headers.repeated")
def set_cookies_joined(message: Message, scope: Scope) -> None:
    cookies = values(message["headers"], b"set-cookie")
    message["headers"] = without(message["headers"], b"set-cookie")
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


@asgi_start("bytes of headers that are not ASCII are lost", "raw.headers.latin1", wsgi_app="pep3333", asgi_app="asgi3")
def response_header_bytes_lost(message: Message, scope: Scope) -> None:
    message["headers"] = [(name, value.decode("ascii", "ignore").encode()) for name, value in message["headers"]]


@asgi_start("headers are encoded in UTF-8", wsgi="raw.headers.latin1", wsgi_app="pep3333")
def response_header_bytes_encoded(message: Message, scope: Scope) -> None:
    message["headers"] = [(name, value.decode("latin-1").encode()) for name, value in message["headers"]]


@asgi_start("headers without a value are lost", "raw.headers.empty", wsgi_app="pep3333", asgi_app="asgi3")
def response_header_empty_lost(message: Message, scope: Scope) -> None:
    message["headers"] = [(name, value) for name, value in message["headers"] if value]


@asgi_start("Content-Encoding is lost", "raw.headers.odd", wsgi_app="pep3333", asgi_app="asgi3")
def content_encoding_lost(message: Message, scope: Scope) -> None:
    message["headers"] = without(message["headers"], b"content-encoding")


@asgi_start("WWW-Authenticate is lost", wsgi="raw.headers.odd", wsgi_app="pep3333")
def challenge_lost(message: Message, scope: Scope) -> None:
    message["headers"] = without(message["headers"], b"www-authenticate")


@asgi_start("Retry-After is lost", asgi="raw.headers.odd", asgi_app="asgi3")
def retry_after_lost(message: Message, scope: Scope) -> None:
    message["headers"] = without(message["headers"], b"retry-after")


@wsgi("what is given to write() is lost", wsgi="raw.write", wsgi_app="pep3333")
def write_lost(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    def start(*args: Any) -> Callable[[bytes], object]:
        start_response(*args)
        return len

    return application(environ, start)


@wsgi("exc_info is ignored", wsgi="raw.exc_info", wsgi_app="pep3333")
def exc_info_ignored(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    begun: list[Any] = []

    def start(status: str, headers: list[Text], exc_info: Any = None) -> Any:
        if not begun:
            begun.append(start_response(status, headers))
        return begun[0]

    return application(environ, start)


@wsgi("a late exc_info is not raised", wsgi="raw.exc_info.late", wsgi_app="pep3333")
def late_exc_info_ignored(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    def start(*args: Any) -> Any:
        try:
            return start_response(*args)
        except RuntimeError:
            return len

    return application(environ, start)


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
        if begins(message):
            missing = int([*values(message["headers"], b"content-length"), b"0"][0])
        elif is_body(message):
            missing -= len(message.get("body", b""))
            if ends(message) and missing > 0:
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


@asgi("an error that no framework catches is an empty 200", "raw.failure", wsgi_app="pep3333", asgi_app="asgi3")
async def raw_failure_is_200(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await application(scope, receive, send)
    except Exception:
        traceback.print_exc()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})
