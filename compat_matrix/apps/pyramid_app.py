"""A Pyramid application as users write it. Knows nothing of bridge."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import Any, NoReturn

from pyramid.config import Configurator
from pyramid.httpexceptions import (
    HTTPBadRequest,
    HTTPClientError,
    HTTPForbidden,
    HTTPFound,
    HTTPNoContent,
    HTTPNotModified,
)
from pyramid.request import Request
from pyramid.response import FileResponse, Response
from pyramid.session import SignedCookieSessionFactory
from pyramid.view import view_config

from compat_matrix.apps import bodies
from compat_matrix.apps.support import FILE, STATIC, Wire, pattern

current: ContextVar[str] = ContextVar("current", default="unset")

ROUTES = {
    "index": "/",
    "echo": "/echo",
    "json": "/json",
    "args": "/args",
    "paths": "/paths/{rest:.*}",
    "form": "/form",
    "multipart": "/multipart",
    "upload": "/upload",
    "upload_watch": "/upload/watch",
    "ignore": "/ignore",
    "download": "/download",
    "download_declared": "/download/declared",
    "stream": "/stream",
    "endless": "/endless",
    "events": "/events",
    "cookies": "/cookies",
    "session": "/session",
    "redirect": "/redirect",
    "url": "/url",
    "slashed": "/slashed/",
    "error_before": "/error/before",
    "error_after": "/error/after",
    "error_short": "/error/short",
    "error_http": "/error/http",
    "headers_large": "/headers/large",
    "headers_repeated": "/headers/repeated",
    "status_204": "/status/204",
    "status_304": "/status/304",
    "empty": "/empty",
    "conditional": "/conditional",
    "file": "/file",
    "blocking": "/blocking",
    "context": "/context",
}


def text(body: str) -> Response:
    return Response(body, content_type="text/plain", charset="UTF-8")


# Requests


@view_config(route_name="index", request_method="GET")
def index(request: Request) -> Response:
    return text("Hello from Pyramid\n")


@view_config(route_name="echo", renderer="json", request_method=("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
def echo(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "scheme": request.scheme,
        "mount": request.script_name,
        "path": request.path_info,
        "query": request.query_string,
        "headers": [[name.lower(), value] for name, value in request.headers.items()],
        "client": request.remote_addr,
        "body": request.body.decode("latin-1"),
    }


@view_config(route_name="json", renderer="json", request_method="GET")
def json(request: Request) -> dict[str, Any]:
    return {"framework": "Pyramid", "ok": True}


@view_config(route_name="args", renderer="json", request_method="GET")
def args(request: Request) -> Any:
    return request.GET.dict_of_lists()


@view_config(route_name="paths", renderer="json", request_method="GET")
def paths(request: Request) -> dict[str, str]:
    return {"rest": request.matchdict["rest"]}


@view_config(route_name="form", renderer="json", request_method="POST")
def form(request: Request) -> Any:
    return request.POST.dict_of_lists()


@view_config(route_name="multipart", renderer="json", request_method="POST")
def multipart(request: Request) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    files = []
    for name, value in request.POST.items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value)
        else:
            about = {"name": name, "filename": value.filename, "content_type": value.type}
            files.append(about | bodies.digest(value.file.read).result())
    return {"fields": fields, "files": files}


@view_config(route_name="upload", renderer="json", request_method="POST")
def upload(request: Request) -> dict[str, str | int]:
    return bodies.digest(request.body_file.read).result()


@view_config(route_name="upload_watch", renderer="json", request_method="POST")
def upload_watch(request: Request) -> dict[str, str | int]:
    # request.body_file reads ahead.
    digest = bodies.watched(bodies.bounded(request.environ), request.content_length, request.GET["wire"])
    if digest is None:
        raise HTTPBadRequest
    return digest.result()


@view_config(route_name="ignore", request_method="POST")
def ignore(request: Request) -> Response:
    return HTTPForbidden(body=b"ignored", content_type="text/plain")


# Streams


@view_config(route_name="download", request_method="GET")
def download(request: Request) -> Response:
    return Response(app_iter=pattern(int(request.GET["size"])), content_type="application/octet-stream")


@view_config(route_name="download_declared", request_method="GET")
def download_declared(request: Request) -> Response:
    size = int(request.GET["size"])
    return Response(app_iter=pattern(size), content_type="application/octet-stream", content_length=size)


@view_config(route_name="stream", request_method="GET")
def stream(request: Request) -> Response:
    return Response(app_iter=bodies.lines(request.GET.get("wire")), content_type="text/plain")


@view_config(route_name="endless", request_method="GET")
def endless(request: Request) -> Response:
    return Response(app_iter=bodies.ticks(request.GET["wire"]), content_type="text/plain")


@view_config(route_name="events", request_method="GET")
def events(request: Request) -> Response:
    body = bodies.events(request.GET.get("wire"))
    return Response(app_iter=body, content_type="text/event-stream", cache_control="no-cache")


# Cookies, sessions, URLs


@view_config(route_name="cookies", renderer="json", request_method="GET")
def cookies(request: Request) -> dict[str, str]:
    request.response.set_cookie("plain", "1")
    request.response.set_cookie("attributes", "2", path="/", httponly=True, samesite="Lax", max_age=60)
    return dict(request.cookies)


@view_config(route_name="session", renderer="json", request_method="POST")
def visits(request: Request) -> dict[str, int]:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return {"visits": request.session["visits"]}


@view_config(route_name="redirect", request_method="GET")
def to_json(request: Request) -> Response:
    return HTTPFound(request.route_url("json"))


@view_config(route_name="url", renderer="json", request_method="GET")
def url(request: Request) -> dict[str, str]:
    return {"path": request.route_path("json"), "absolute": request.route_url("json")}


@view_config(route_name="slashed", request_method="GET")
def slashed(request: Request) -> Response:
    return text("slashed")


# Errors


class Teapot(HTTPClientError):  # type: ignore[misc]
    code = 418
    title = "I'm a teapot"
    explanation = "short and stout"


@view_config(route_name="error_before", request_method="GET")
def error_before(request: Request) -> NoReturn:
    raise RuntimeError("before the response")


@view_config(route_name="error_after", request_method="GET")
def error_after(request: Request) -> Response:
    return Response(app_iter=bodies.failing(request.GET["wire"]), content_type="text/plain")


@view_config(route_name="error_short", request_method="GET")
def error_short(request: Request) -> Response:
    return Response(app_iter=bodies.short(request.GET["wire"]), content_type="text/plain", content_length=100)


@view_config(route_name="error_http", request_method="GET")
def error_http(request: Request) -> NoReturn:
    raise Teapot


# Headers and statuses


@view_config(route_name="headers_large", request_method="GET")
def headers_large(request: Request) -> Response:
    response = text("large")
    response.headers["X-Large"] = "x" * 6000
    for number in range(50):
        response.headers[f"X-Many-{number}"] = "y"
    return response


@view_config(route_name="headers_repeated", request_method="GET")
def headers_repeated(request: Request) -> Response:
    response = text("repeated")
    response.headers.add("X-Repeated", "one")
    response.headers.add("X-Repeated", "two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@view_config(route_name="status_204", request_method="GET")
def status_204(request: Request) -> Response:
    return HTTPNoContent(headers={"X-Seen": "yes"})


@view_config(route_name="status_304", request_method="GET")
def status_304(request: Request) -> Response:
    return HTTPNotModified(etag="v1")


@view_config(route_name="empty", request_method="GET")
def empty(request: Request) -> Response:
    return text("")


@view_config(route_name="conditional", request_method="GET")
def conditional(request: Request) -> Response:
    response = text("conditional")
    response.etag = "v1"
    response.conditional_response = True
    return response


@view_config(route_name="file", request_method="GET")
def file(request: Request) -> Response:
    response = FileResponse(FILE, request, content_type="application/octet-stream")
    response.content_disposition = "attachment; filename=file.bin"
    return response


# Where the view runs


@view_config(route_name="blocking", request_method="GET")
def blocking(request: Request) -> Response:
    with Wire(request.GET["wire"]) as wire:
        wire.say("running")
        wire.wait_for("go on")
    return text("blocked")


@view_config(route_name="context", renderer="json", request_method="GET")
def context(request: Request) -> dict[str, str]:
    before = current.get()
    current.set(request.GET["value"])
    return {"before": before, "after": current.get()}


with Configurator(session_factory=SignedCookieSessionFactory("not a secret")) as config:
    for name, path in ROUTES.items():
        config.add_route(name, path)
    config.add_static_view("static", str(STATIC))
    config.add_notfound_view(append_slash=True)
    config.scan(sys.modules[__name__])
    app = config.make_wsgi_app()
