"""A Bottle application as users write it. Knows nothing of bridge."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NoReturn
from urllib.parse import urljoin

from bottle import Bottle, FormsDict, HTTPError, HTTPResponse, abort, redirect, request, response, static_file

from compat_matrix.apps import bodies
from compat_matrix.apps.support import FILE, STATIC, Wire, pattern

app = Bottle()

SECRET = "not a secret"

current: ContextVar[str] = ContextVar("current", default="unset")


def text(body: str) -> str:
    response.content_type = "text/plain; charset=UTF-8"
    return body


def lists(fields: FormsDict) -> dict[str, list[str]]:
    fields = fields.decode()
    return {name: fields.getall(name) for name in fields}


# Requests


@app.get("/")
def index() -> str:
    return text("Hello from Bottle\n")


@app.route("/echo", method=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def echo() -> dict[str, Any]:
    return {
        "method": request.method,
        "scheme": request.urlparts.scheme,
        "mount": request.environ.get("SCRIPT_NAME", ""),
        "path": request.path,
        "query": request.query_string,
        "headers": [[name.lower(), request.headers.raw(name)] for name in request.headers],
        "client": request.remote_addr,
        "body": request.body.read().decode("latin-1"),
    }


@app.get("/json", name="json")
def json() -> dict[str, Any]:
    return {"framework": "Bottle", "ok": True}


@app.get("/args")
def args() -> dict[str, list[str]]:
    return lists(request.query)


@app.get("/paths/<rest:path>")
def paths(rest: str) -> dict[str, str]:
    return {"rest": rest}


@app.post("/form")
def form() -> dict[str, list[str]]:
    return lists(request.forms)


@app.post("/multipart")
def multipart() -> dict[str, Any]:
    files = [
        {
            "name": name,
            "filename": upload.raw_filename,
            "content_type": upload.content_type,
            **bodies.digest(upload.file.read).result(),
        }
        for name, upload in request.files.allitems()
    ]
    return {"fields": lists(request.forms), "files": files}


@app.post("/upload")
def upload() -> dict[str, str | int]:
    return bodies.digest(request.body.read).result()


@app.post("/upload/watch")
def upload_watch() -> dict[str, str | int]:
    # request.body is read to its end when it is first touched.
    read = bodies.bounded(request.environ)
    declared = request.content_length if request.content_length >= 0 else None
    digest = bodies.watched(read, declared, request.query.wire)
    if digest is None:
        raise HTTPError(400)
    return digest.result()


@app.post("/ignore")
def ignore() -> str:
    response.status = 403
    return text("ignored")


# Streams


@app.get("/download")
def download() -> Iterator[bytes]:
    response.content_type = "application/octet-stream"
    return pattern(int(request.query.size))


@app.get("/download/declared")
def download_declared() -> Iterator[bytes]:
    response.content_type = "application/octet-stream"
    response.content_length = request.query.size
    return pattern(int(request.query.size))


@app.get("/stream")
def stream() -> Iterator[bytes]:
    response.content_type = "text/plain; charset=UTF-8"
    return bodies.lines(request.query.wire)


@app.get("/endless")
def endless() -> Iterator[bytes]:
    response.content_type = "text/plain; charset=UTF-8"
    return bodies.ticks(request.query.wire)


@app.get("/events")
def events() -> Iterator[bytes]:
    response.content_type = "text/event-stream"
    response.set_header("Cache-Control", "no-cache")
    return bodies.events(request.query.wire)


# Cookies, sessions, URLs


@app.get("/cookies")
def cookies() -> dict[str, str]:
    response.set_cookie("plain", "1")
    response.set_cookie("attributes", "2", path="/", httponly=True, samesite="lax", max_age=60)
    return dict(request.cookies.decode())


@app.post("/session")
def visits() -> dict[str, int]:
    count = int(request.get_cookie("visits", "0", secret=SECRET)) + 1
    response.set_cookie("visits", str(count), secret=SECRET)
    return {"visits": count}


@app.get("/redirect")
def to_json() -> None:
    redirect(app.get_url("json"))


@app.get("/url")
def url() -> dict[str, str]:
    path = app.get_url("json")
    return {"path": path, "absolute": urljoin(request.url, path)}


@app.get("/static/<name:path>")
def static(name: str) -> HTTPResponse:
    return static_file(name, root=STATIC)


# Errors


@app.get("/error/before")
def error_before() -> NoReturn:
    raise RuntimeError("before the response")


@app.get("/error/after")
def error_after() -> Iterator[bytes]:
    response.content_type = "text/plain; charset=UTF-8"
    return bodies.failing(request.query.wire)


@app.get("/error/short")
def error_short() -> Iterator[bytes]:
    response.content_type = "text/plain; charset=UTF-8"
    response.content_length = 100
    return bodies.short(request.query.wire)


@app.get("/error/http")
def error_http() -> None:
    abort(418, "short and stout")


# Headers and statuses


@app.get("/headers/large")
def headers_large() -> str:
    response.set_header("X-Large", "x" * 6000)
    for number in range(50):
        response.set_header(f"X-Many-{number}", "y")
    return text("large")


@app.get("/headers/repeated")
def headers_repeated() -> str:
    response.add_header("X-Repeated", "one")
    response.add_header("X-Repeated", "two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return text("repeated")


@app.get("/status/204")
def status_204() -> HTTPResponse:
    return HTTPResponse(status=204, X_Seen="yes")


@app.get("/status/304")
def status_304() -> HTTPResponse:
    return HTTPResponse(status=304, ETag='"v1"')


@app.get("/empty")
def empty() -> str:
    return text("")


@app.get("/conditional")
def conditional() -> str | HTTPResponse:
    if request.get_header("If-None-Match") == '"v1"':
        return HTTPResponse(status=304, ETag='"v1"')
    response.set_header("ETag", '"v1"')
    return text("conditional")


@app.get("/file")
def file() -> HTTPResponse:
    return static_file(FILE.name, root=FILE.parent, download="file.bin")


# Where the view runs


@app.get("/blocking")
def blocking() -> str:
    with Wire(request.query.wire) as wire:
        wire.say("running")
        wire.wait_for("go on")
    return text("blocked")


@app.get("/context")
def context() -> dict[str, str]:
    before = current.get()
    current.set(request.query.value)
    return {"before": before, "after": current.get()}
