"""Django's views, on its ASGI handler."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import etag, require_POST, require_safe

from compat_matrix.apps.support import FILE, AsyncWire, Digest, Wire, for_ever

TEXT = "text/plain; charset=utf-8"


def text(body: str, status: int = 200) -> HttpResponse:
    return HttpResponse(body, status=status, content_type=TEXT)


@require_safe
async def json(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"framework": "Channels", "ok": True})


@require_safe
async def args(request: HttpRequest) -> HttpResponse:
    return JsonResponse(dict(request.GET.lists()))


@require_safe
async def paths(request: HttpRequest, rest: str) -> HttpResponse:
    return JsonResponse({"rest": rest})


@require_POST
async def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse(dict(request.POST.lists()))


@require_POST
def multipart(request: HttpRequest) -> HttpResponse:
    files = []
    for name, uploads in request.FILES.lists():
        for upload in uploads:
            digest = Digest()
            for chunk in upload.chunks():
                digest.update(chunk)
            about = {"name": name, "filename": upload.name, "content_type": upload.content_type}
            files.append({**about, **digest.result()})
    return JsonResponse({"fields": dict(request.POST.lists()), "files": files})


@require_safe
async def endless(request: HttpRequest) -> HttpResponse:
    # Not a consumer: those do not hear that the client has gone before handle() returns.
    async def ticks(port: str) -> AsyncIterator[str]:
        async with AsyncWire(port) as wire:
            await wire.say("called")
            try:
                for _ in for_ever():
                    yield "tick\n"
                    await asyncio.sleep(0)  # a server whose send() never waits must still hear the client
            finally:
                await wire.say("finally")

    return StreamingHttpResponse(ticks(request.GET["wire"]), content_type=TEXT)


@require_safe
async def cookies(request: HttpRequest) -> HttpResponse:
    response = JsonResponse(request.COOKIES)
    response.set_cookie("plain", "1")
    response.set_cookie("attributes", "2", path="/", httponly=True, samesite="Lax", max_age=60)
    return response


@require_safe
async def to_json(request: HttpRequest) -> HttpResponse:
    return redirect("json")


@require_safe
async def url(request: HttpRequest) -> HttpResponse:
    path = reverse("json")
    return JsonResponse({"path": path, "absolute": request.build_absolute_uri(path)})


@require_safe
async def slashed(request: HttpRequest) -> HttpResponse:
    return text("slashed")


@require_safe
async def error_http(request: HttpRequest) -> HttpResponse:
    return text("a teapot", 418)


@require_safe
async def headers_large(request: HttpRequest) -> HttpResponse:
    response = text("large")
    response["X-Large"] = "x" * 6_000
    for number in range(50):
        response[f"X-Many-{number}"] = "y"
    return response


@require_safe
async def status_204(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204, headers={"X-Seen": "yes"})


@require_safe
async def status_304(request: HttpRequest) -> HttpResponse:
    return HttpResponseNotModified(headers={"ETag": '"v1"'})


@require_safe
async def empty(request: HttpRequest) -> HttpResponse:
    return text("")


@require_safe
@etag(lambda request: '"v1"')
async def conditional(request: HttpRequest) -> HttpResponse:
    return text("conditional")


@require_safe
def file(request: HttpRequest) -> FileResponse:
    return FileResponse(FILE.open("rb"), as_attachment=True, filename="file.bin")


@require_safe
def blocking(request: HttpRequest) -> HttpResponse:
    with Wire(request.GET["wire"]) as wire:
        wire.say("running")
        wire.wait_for("go on")
    return text("blocked")
