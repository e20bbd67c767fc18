"""Views whose responses are awaited."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

import bridge
from compat_matrix.apps import long_lived
from compat_matrix.apps.support import Wire

TEXT = "text/plain; charset=utf-8"
EVENTS = "text/event-stream"
NO_STORE = {"Cache-Control": "no-store"}


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello from Django\n", content_type=TEXT)


def events(request: HttpRequest) -> StreamingHttpResponse:
    stream = bridge.stream(long_lived.events(request.GET.get("wire")))
    return StreamingHttpResponse(stream, content_type=EVENTS, headers=NO_STORE)


def fails(request: HttpRequest) -> StreamingHttpResponse:
    stream = bridge.stream(long_lived.failing(request.GET["wire"]))
    return StreamingHttpResponse(stream, content_type=EVENTS, headers=NO_STORE)


def wait(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(bridge.wait(long_lived.result(request.GET["wire"]), timeout=30.0), content_type=TEXT)


def wait_over(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(bridge.wait(long_lived.never, timeout=0.0), content_type=TEXT)


def wait_fails(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(bridge.wait(long_lived.broken), content_type=TEXT)


def hints(request: HttpRequest) -> HttpResponse:
    with Wire(request.GET["wire"]) as wire:
        hint = request.META.get("wsgi.early_hints")
        if hint is None:
            wire.say("no hints here")
        else:
            hint(long_lived.LINKS)
            wire.say("hinted")
            wire.wait_for("go on")
    return HttpResponse("styled", content_type=TEXT)
