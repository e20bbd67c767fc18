"""What a client asks of a mounted application, in Flask and in Django. Knows no page and no mount."""

# mypy: disable-error-code="untyped-decorator"

import hashlib
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect as django_redirect
from django.urls import URLPattern, path, reverse
from flask import Flask, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue

from compat_matrix.wire import TIMEOUT

MARK = "x-mounted"  # a header of every response of a mounted application


def add_to_flask(app: Flask) -> None:
    """Add the views to an application that has an ``index`` already."""
    go_on = threading.Event()

    @app.after_request
    def mark(response: Any) -> Any:
        response.headers[MARK] = "Flask"
        return response

    @app.get("/<path:rest>")
    def seen(rest: str) -> ResponseReturnValue:
        return jsonify([request.environ["SCRIPT_NAME"], request.environ["PATH_INFO"]])

    @app.get("/redirect")
    def to_seen() -> ResponseReturnValue:
        return redirect(url_for("seen", rest="seen/after"))

    @app.get("/cookie")
    def cookie() -> ResponseReturnValue:
        response = jsonify(request.cookies)
        response.set_cookie("basket", "full", path=url_for("index"))
        return response

    @app.post("/upload")
    def upload() -> ResponseReturnValue:
        return hashlib.sha256(request.get_data()).hexdigest()

    @app.get("/stream")
    def stream() -> ResponseReturnValue:
        return app.response_class(_chunks(go_on), mimetype="text/plain")

    @app.get("/go-on")
    def release() -> ResponseReturnValue:
        go_on.set()
        return "goes on"


def of_django() -> list[URLPattern]:
    """Make the same views for Django, with an ``index``."""
    go_on = threading.Event()

    def marked(response: Any) -> Any:
        response[MARK] = "Django"
        return response

    def index(request: HttpRequest) -> HttpResponse:
        return marked(HttpResponse(reverse("index")))

    def seen(request: HttpRequest, rest: str) -> HttpResponse:
        # Django decodes PATH_INFO in place, and has "%FF" for what is no UTF-8.
        path_info = unquote_to_bytes(request.META["PATH_INFO"]).decode("latin-1")
        return marked(JsonResponse([request.META["SCRIPT_NAME"], path_info], safe=False))

    def to_seen(request: HttpRequest) -> HttpResponse:
        return marked(django_redirect("seen", rest="seen/after"))

    def cookie(request: HttpRequest) -> HttpResponse:
        response = JsonResponse(request.COOKIES)
        response.set_cookie("basket", "full", path=reverse("index"))
        return marked(response)

    def upload(request: HttpRequest) -> HttpResponse:
        return marked(HttpResponse(hashlib.sha256(request.body).hexdigest()))

    def stream(request: HttpRequest) -> HttpResponse:
        return marked(StreamingHttpResponse(_chunks(go_on), content_type="text/plain"))

    def release(request: HttpRequest) -> HttpResponse:
        go_on.set()
        return marked(HttpResponse("goes on"))

    return [
        path("", index, name="index"),
        path("redirect", to_seen),
        path("cookie", cookie),
        path("upload", upload),
        path("stream", stream),
        path("go-on", release),
        path("<path:rest>", seen, name="seen"),
    ]


def _chunks(go_on: threading.Event) -> Iterator[bytes]:
    yield b"first"
    assert go_on.wait(TIMEOUT), "nobody said that the stream may go on"
    go_on.clear()  # one application may be mounted twice
    yield b"second"
