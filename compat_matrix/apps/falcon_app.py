"""A Falcon application as users write it. Knows nothing of bridge."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NoReturn

import falcon
from falcon import Request, Response

from compat_matrix.apps import bodies
from compat_matrix.apps.support import FILE, STATIC, Wire, pattern

current: ContextVar[str] = ContextVar("current", default="unset")


def text(resp: Response, body: str) -> None:
    resp.content_type = falcon.MEDIA_TEXT
    resp.text = body


class Requests:
    def on_get(self, req: Request, resp: Response) -> None:
        text(resp, "Hello from Falcon\n")

    def on_get_echo(self, req: Request, resp: Response) -> None:
        resp.media = {
            "method": req.method,
            "scheme": req.scheme,
            "mount": req.root_path,
            "path": req.path,
            "query": req.query_string,
            "headers": [[name.lower(), value] for name, value in req.headers.items()],
            "client": req.remote_addr,
            "body": req.bounded_stream.read().decode("latin-1"),
        }

    on_post_echo = on_put_echo = on_patch_echo = on_delete_echo = on_options_echo = on_get_echo

    def on_get_json(self, req: Request, resp: Response) -> None:
        resp.media = {"framework": "Falcon", "ok": True}

    on_head_json = on_get_json  # Falcon answers HEAD only where it is told to

    def on_get_args(self, req: Request, resp: Response) -> None:
        resp.media = {name: req.get_param_as_list(name) for name in req.params}

    def on_get_paths(self, req: Request, resp: Response, rest: str) -> None:
        resp.media = {"rest": rest}

    def on_post_form(self, req: Request, resp: Response) -> None:
        fields = req.get_media()
        resp.media = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}

    def on_post_multipart(self, req: Request, resp: Response) -> None:
        fields: dict[str, list[str]] = {}
        files: list[dict[str, str | int | None]] = []
        for part in req.get_media():
            if part.filename is None:
                fields.setdefault(part.name, []).append(part.text)
                continue
            files.append(
                {
                    "name": part.name,
                    "filename": part.filename,
                    "content_type": part.content_type,
                    **bodies.digest(part.stream.read).result(),
                }
            )
        resp.media = {"fields": fields, "files": files}

    def on_post_upload(self, req: Request, resp: Response) -> None:
        resp.media = bodies.digest(req.bounded_stream.read).result()

    def on_post_watch(self, req: Request, resp: Response) -> None:
        digest = bodies.watched(req.bounded_stream.read, req.content_length, req.get_param("wire"))
        if digest is None:
            raise falcon.HTTPBadRequest(description="the body broke off")
        resp.media = digest.result()

    def on_post_ignore(self, req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_403
        text(resp, "ignored")


class Streams:
    def on_get_download(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        resp.stream = pattern(req.get_param_as_int("size", default=0))

    def on_get_declared(self, req: Request, resp: Response) -> None:
        size = req.get_param_as_int("size", default=0)
        resp.content_type = "application/octet-stream"
        resp.set_stream(pattern(size), size)

    def on_get_lines(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = bodies.lines(req.get_param("wire"))

    on_head_lines = on_get_lines

    def on_get_endless(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = bodies.ticks(req.get_param("wire"))

    def on_get_events(self, req: Request, resp: Response) -> None:
        resp.content_type = "text/event-stream"
        resp.cache_control = ["no-cache"]
        resp.stream = bodies.events(req.get_param("wire"))

    def on_get_file(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        resp.downloadable_as = "file.bin"
        resp.set_stream(FILE.open("rb"), FILE.stat().st_size)


class Urls:
    def on_get_cookies(self, req: Request, resp: Response) -> None:
        resp.media = req.cookies
        resp.set_cookie("plain", "1")
        resp.set_cookie("attributes", "2", path="/", http_only=True, same_site="Lax", max_age=60)

    def on_get_redirect(self, req: Request, resp: Response) -> NoReturn:
        raise falcon.HTTPFound(f"{req.root_path}/json")

    def on_get_url(self, req: Request, resp: Response) -> None:
        resp.media = {"path": f"{req.root_path}/json", "absolute": f"{req.prefix}/json"}


class Errors:
    def on_get_before(self, req: Request, resp: Response) -> NoReturn:
        raise RuntimeError("before the response")

    on_head_before = on_get_before

    def on_get_after(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = bodies.failing(req.get_param("wire"))

    def on_get_short(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.set_stream(bodies.short(req.get_param("wire")), 100)

    def on_get_http(self, req: Request, resp: Response) -> NoReturn:
        raise falcon.HTTPError(falcon.HTTP_418, description="short and stout")


class Answers:
    def on_get_large(self, req: Request, resp: Response) -> None:
        resp.set_header("X-Large", "x" * 6000)
        for number in range(50):
            resp.set_header(f"X-Many-{number}", "y")
        text(resp, "large")

    def on_get_repeated(self, req: Request, resp: Response) -> None:
        # Falcon joins them into one header.
        resp.append_header("X-Repeated", "one")
        resp.append_header("X-Repeated", "two")
        resp.set_cookie("a", "1")
        resp.set_cookie("b", "2")
        text(resp, "repeated")

    def on_get_204(self, req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_204
        resp.set_header("X-Seen", "yes")

    def on_get_304(self, req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_304
        resp.etag = "v1"

    def on_get_empty(self, req: Request, resp: Response) -> None:
        text(resp, "")

    def on_get_conditional(self, req: Request, resp: Response) -> None:
        resp.etag = "v1"
        if "v1" in (req.if_none_match or ()):
            resp.status = falcon.HTTP_304
        else:
            text(resp, "conditional")


class Places:
    def on_get_blocking(self, req: Request, resp: Response) -> None:
        with Wire(req.get_param_as_int("wire", required=True)) as wire:
            wire.say("running")
            wire.wait_for("go on")
        text(resp, "blocked")

    def on_get_context(self, req: Request, resp: Response) -> None:
        before = current.get()
        current.set(req.get_param("value", required=True))
        resp.media = {"before": before, "after": current.get()}


def create_app() -> falcon.App[Request, Response]:
    app = falcon.App()
    app.resp_options.secure_cookies_by_default = False  # no TLS here
    app.add_static_route("/static", STATIC)

    requests = Requests()
    app.add_route("/", requests)
    app.add_route("/echo", requests, suffix="echo")
    app.add_route("/json", requests, suffix="json")
    app.add_route("/args", requests, suffix="args")
    app.add_route("/paths/{rest:path}", requests, suffix="paths")
    app.add_route("/form", requests, suffix="form")
    app.add_route("/multipart", requests, suffix="multipart")
    app.add_route("/upload", requests, suffix="upload")
    app.add_route("/upload/watch", requests, suffix="watch")
    app.add_route("/ignore", requests, suffix="ignore")

    streams = Streams()
    app.add_route("/download", streams, suffix="download")
    app.add_route("/download/declared", streams, suffix="declared")
    app.add_route("/stream", streams, suffix="lines")
    app.add_route("/endless", streams, suffix="endless")
    app.add_route("/events", streams, suffix="events")
    app.add_route("/file", streams, suffix="file")

    urls = Urls()
    app.add_route("/cookies", urls, suffix="cookies")
    app.add_route("/redirect", urls, suffix="redirect")
    app.add_route("/url", urls, suffix="url")

    errors = Errors()
    app.add_route("/error/before", errors, suffix="before")
    app.add_route("/error/after", errors, suffix="after")
    app.add_route("/error/short", errors, suffix="short")
    app.add_route("/error/http", errors, suffix="http")

    answers = Answers()
    app.add_route("/headers/large", answers, suffix="large")
    app.add_route("/headers/repeated", answers, suffix="repeated")
    app.add_route("/status/204", answers, suffix="204")
    app.add_route("/status/304", answers, suffix="304")
    app.add_route("/empty", answers, suffix="empty")
    app.add_route("/conditional", answers, suffix="conditional")

    places = Places()
    app.add_route("/blocking", places, suffix="blocking")
    app.add_route("/context", places, suffix="context")
    return app


app = create_app()
