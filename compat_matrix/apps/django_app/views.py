"""Views for both interfaces; only what is streamed depends on the interface."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from types import ModuleType
from typing import NoReturn

from django.core.handlers.asgi import ASGIRequest
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotModified,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import etag, require_http_methods, require_POST, require_safe

from compat_matrix.apps import async_bodies, bodies, support
from compat_matrix.apps.support import FILE, Wire

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"

current: ContextVar[str] = ContextVar("current", default="unset")


def text(body: str, status: int = 200) -> HttpResponse:
    return HttpResponse(body, status=status, content_type=TEXT)


def streams(request: HttpRequest) -> ModuleType:
    """Return the generators that Django iterates without a detour on this interface."""
    return async_bodies if isinstance(request, ASGIRequest) else bodies


# Requests


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    return text("Hello from Django\n")


@require_http_methods(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def echo(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            "method": request.method,
            "scheme": request.scheme,
            "mount": request.META["SCRIPT_NAME"],
            "path": request.path_info,
            "query": request.META["QUERY_STRING"],
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
            "client": request.META.get("REMOTE_ADDR"),
            "body": request.body.decode("latin-1"),
        }
    )


@require_safe
def json(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"framework": "Django", "ok": True})


@require_safe
def args(request: HttpRequest) -> HttpResponse:
    return JsonResponse(dict(request.GET.lists()))


@require_safe
def paths(request: HttpRequest, rest: str) -> HttpResponse:
    return JsonResponse({"rest": rest})


@require_POST
def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse(dict(request.POST.lists()))


@require_POST
def multipart(request: HttpRequest) -> HttpResponse:
    files = [
        {
            "name": name,
            "filename": upload.name,
            "content_type": upload.content_type,
            **bodies.digest(upload.read).result(),
        }
        for name, uploads in request.FILES.lists()
        for upload in uploads
    ]
    return JsonResponse({"fields": dict(request.POST.lists()), "files": files})


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    return JsonResponse(bodies.digest(request.read).result())


@require_POST
def upload_watch(request: HttpRequest) -> HttpResponse:
    declared = request.headers.get("Content-Length")
    digest = bodies.watched(request.read, int(declared) if declared else None, request.GET["wire"])
    return JsonResponse(digest.result()) if digest else HttpResponseBadRequest()


@require_POST
def ignore(request: HttpRequest) -> HttpResponse:
    return text("ignored", 403)


# Streams


@require_safe
def download(request: HttpRequest) -> StreamingHttpResponse:
    pattern = async_bodies.pattern if isinstance(request, ASGIRequest) else support.pattern
    return StreamingHttpResponse(pattern(int(request.GET["size"])), content_type=BYTES)


@require_safe
def download_declared(request: HttpRequest) -> StreamingHttpResponse:
    response = download(request)
    response["Content-Length"] = request.GET["size"]
    return response


@require_safe
def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(streams(request).lines(request.GET["wire"]), content_type=TEXT)


@require_safe
def endless(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(streams(request).ticks(request.GET["wire"]), content_type=TEXT)


@require_safe
def events(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        streams(request).events(request.GET.get("wire")),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache"},
    )


# Cookies, sessions, URLs


@require_safe
def cookies(request: HttpRequest) -> HttpResponse:
    response = JsonResponse(request.COOKIES)
    response.set_cookie("plain", "1")
    response.set_cookie("attributes", "2", path="/", httponly=True, samesite="Lax", max_age=60)
    return response


@require_POST
def visits(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


@require_safe
def to_json(request: HttpRequest) -> HttpResponse:
    return redirect("json")


@require_safe
def url(request: HttpRequest) -> HttpResponse:
    path = reverse("json")
    return JsonResponse({"path": path, "absolute": request.build_absolute_uri(path)})


@require_safe
def slashed(request: HttpRequest) -> HttpResponse:
    return text("slashed")


# Errors


@require_safe
def error_before(request: HttpRequest) -> NoReturn:
    raise RuntimeError("before the response")


@require_safe
def error_after(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(streams(request).failing(request.GET["wire"]), content_type=TEXT)


@require_safe
def error_short(request: HttpRequest) -> StreamingHttpResponse:
    body = streams(request).short(request.GET["wire"])
    return StreamingHttpResponse(body, content_type=TEXT, headers={"Content-Length": "100"})


@require_safe
def error_http(request: HttpRequest) -> HttpResponse:
    return text("short and stout", 418)


# Headers and statuses


@require_safe
def headers_large(request: HttpRequest) -> HttpResponse:
    response = text("large")
    response["X-Large"] = "x" * 6000
    for number in range(50):
        response[f"X-Many-{number}"] = "y"
    return response


@require_safe
def headers_repeated(request: HttpRequest) -> HttpResponse:
    response = text("repeated")
    response["X-Repeated"] = "one, two"  # Django has each name once
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@require_safe
def status_204(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204, headers={"X-Seen": "yes"})


@require_safe
def status_304(request: HttpRequest) -> HttpResponse:
    return HttpResponseNotModified(headers={"ETag": '"v1"'})


@require_safe
def empty(request: HttpRequest) -> HttpResponse:
    return text("")


@require_safe
@etag(lambda request: '"v1"')
def conditional(request: HttpRequest) -> HttpResponse:
    return text("conditional")


@require_safe
def file(request: HttpRequest) -> FileResponse:
    return FileResponse(FILE.open("rb"), as_attachment=True, filename="file.bin")


# Where the view runs


@require_safe
def blocking(request: HttpRequest) -> HttpResponse:
    with Wire(request.GET["wire"]) as wire:
        wire.say("running")
        wire.wait_for("go on")
    return text("blocked")


async def asynchronous(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return text("async")


@require_safe
def context(request: HttpRequest) -> HttpResponse:
    before = current.get()
    current.set(request.GET["value"])
    return JsonResponse({"before": before, "after": current.get()})
