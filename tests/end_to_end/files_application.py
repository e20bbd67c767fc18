"""Files as each framework sends them, and early hints; run in the server's process.

The file is named by the variable FILE_TO_SEND, for the tests of ``test_files.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import bottle
import django
import falcon
import flask
from django.conf import settings
from django.core.files import File
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse
from django.urls import path
from pyramid.config import Configurator
from pyramid.response import FileResponse as PyramidFileResponse

import bridge

FILE = Path(os.environ["FILE_TO_SEND"])

# ---- frameworks -----------------------------------------------------------------------------

of_flask = flask.Flask(__name__)


@of_flask.get("/flask")
def by_flask() -> flask.Response:
    return flask.send_file(FILE, mimetype="application/octet-stream")


def by_django(request: Any) -> Any:
    return FileResponse(FILE.open("rb"))


def by_django_file(request: Any) -> Any:
    """As a FileField gives it."""
    return FileResponse(File(FILE.open("rb")))


settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of the tests",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
    ROOT_URLCONF=(path("django", by_django), path("django-file", by_django_file)),
)
django.setup()

of_bottle = bottle.Bottle()
of_bottle.get("/bottle")(lambda: bottle.static_file(FILE.name, root=str(FILE.parent)))

of_falcon = falcon.App()
of_falcon.add_static_route("/falcon", str(FILE.parent))

_pyramid = Configurator()
_pyramid.add_route("file", "/pyramid")
_pyramid.add_view(lambda request: PyramidFileResponse(str(FILE), request=request), route_name="file")

# ---- plain ----------------------------------------------------------------------------------


def removed(environ: Any, start_response: Any) -> Iterable[bytes]:
    """A copy of the file, which is gone when the response is closed."""
    copy = FILE.with_name("copy")
    copy.write_bytes(FILE.read_bytes())
    opened: Any = copy.open("rb")
    done = opened.close

    def close() -> None:
        done()
        copy.unlink()

    opened.close = close
    start_response("200 OK", [("Content-Length", str(copy.stat().st_size))])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened)
    return wrapped


def shrunk(environ: Any, start_response: Any) -> Iterable[bytes]:
    """More than the file that the server then finds: it is cut short as soon as the bridge has sent its path."""
    copy = FILE.with_name("shrinks")
    copy.write_bytes(FILE.read_bytes())
    start_response("200 OK", [("Content-Length", str(copy.stat().st_size))])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](copy.open("rb"))
    return wrapped


def hints(environ: Any, start_response: Any) -> Iterator[bytes]:
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload"), ("X-Other", "1")])
    environ["wsgi.early_hints"]([(b"Link", b"</b.css>; rel=preload")])
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"page"
    environ["wsgi.early_hints"]([("Link", "</late.css>; rel=preload")])


APPLICATIONS: dict[str, Any] = {
    "flask": of_flask,
    "django": get_wsgi_application(),
    "django-file": get_wsgi_application(),
    "bottle": of_bottle,
    "falcon": of_falcon,
    "pyramid": _pyramid.make_wsgi_app(),
    "removed": removed,
    "shrunk": shrunk,
    "hints": hints,
}


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    chunks: Iterable[bytes] = APPLICATIONS[environ["PATH_INFO"].split("/")[1]](environ, start_response)
    return chunks


# ---- what the server is given ---------------------------------------------------------------

_adapter = bridge.WsgiToAsgi(application)


async def served(scope: Any, receive: Any, send: Any) -> None:
    """Say in the log by which messages each response leaves."""
    kinds: list[str] = []

    async def noting(message: Any) -> None:
        kind = message["type"].rpartition(".")[2]
        if kind not in kinds:
            kinds.append(kind)
        if kind == "pathsend" and scope["path"] == "/shrunk":
            os.truncate(message["path"], 1000)
        await send(message)

    await _adapter(scope, receive, noting)
    if scope["type"] == "http":
        print(f"{scope['path']} left by {' '.join(kinds)}", flush=True)  # noqa: T201 (the log)
