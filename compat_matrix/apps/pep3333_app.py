"""A WSGI application without a framework: PEP 3333 and nothing else. Knows nothing of bridge."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from compat_matrix.apps import bodies, raw
from compat_matrix.apps.support import PIECE, Digest, Wire

Environ: TypeAlias = "dict[str, Any]"
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]


def text(start_response: StartResponse, body: bytes) -> list[bytes]:
    start_response("200 OK", [raw.TEXT, ("Content-Length", str(len(body)))])
    return [body]


def json(start_response: StartResponse, value: object) -> list[bytes]:
    body = json_module.dumps(value).encode()
    start_response("200 OK", [raw.JSON, ("Content-Length", str(len(body)))])
    return [body]


def port(environ: Environ) -> str:
    return parse_qs(str(environ["QUERY_STRING"]))["wire"][0]


# Of the contract


def index(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return text(start_response, b"Hello from PEP 3333\n")


def as_json(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return json(start_response, {"framework": "PEP 3333", "ok": True})


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    names = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}
    headers = [[name, environ[variable]] for variable, name in names.items() if environ.get(variable)]
    headers += [[name[5:].replace("_", "-").lower(), environ[name]] for name in environ if name.startswith("HTTP_")]
    read = bodies.bounded(environ)
    return json(
        start_response,
        {
            "method": environ["REQUEST_METHOD"],
            "scheme": environ["wsgi.url_scheme"],
            "mount": environ.get("SCRIPT_NAME", ""),
            "path": environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace"),
            "query": environ.get("QUERY_STRING", ""),
            "headers": headers,
            "client": environ.get("REMOTE_ADDR"),
            "body": b"".join(iter(lambda: read(PIECE), b"")).decode("latin-1"),
        },
    )


def stream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [raw.TEXT])
    return bodies.lines(port(environ))


# The environ


def server(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    protocol, _, version = environ["SERVER_PROTOCOL"].partition("/")
    about = {"name": environ["SERVER_NAME"], "port": environ["SERVER_PORT"], "protocol": protocol, "version": version}
    return json(start_response, about)


# Bodies of requests


def lines(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    stream = environ["wsgi.input"]
    parts: dict[str, list[bytes]] = {
        "read of nothing": [stream.read(0)],
        "readline": [stream.readline(), stream.readline()],
        "read": [stream.read(3)],
        "iteration": [next(iter(stream))],
        "readlines": stream.readlines(),
        "after the end": [stream.read(), stream.read(1), stream.readline(), *stream.readlines(), *stream],
    }
    return json(start_response, {name: [part.decode() for part in given] for name, given in parts.items()})


def held(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    read = bodies.bounded(environ)
    digest = Digest()
    with Wire(port(environ)) as wire:
        wire.say("called")
        digest.update(read(1))
        wire.say("first")
        wire.wait_for("go on")
    while piece := read(PIECE):
        digest.update(piece)
    return json(start_response, digest.result())


# Responses


def odd_headers(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response(f"{raw.ODD_STATUS} Unauthorized", list(raw.ODD_HEADERS))
    return [raw.ODD_BODY]


def latin1_headers(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [raw.TEXT, ("Content-Length", "0"), ("X-Latin", raw.LATIN1)])
    return []


def empty_headers(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [raw.TEXT, ("Content-Length", "0"), ("X-Empty", ""), ("X-After", "1")])
    return []


def chunks(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [raw.TEXT])
    return iter(raw.CHUNKS)


def write(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [raw.TEXT])
    write(b"one ")
    write(b"two ")
    return [b"three"]


def exc_info(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [raw.TEXT, ("X-First", "1")])
    try:
        raise RuntimeError("before the headers are sent")
    except RuntimeError:
        start_response("500 Internal Server Error", [raw.TEXT, ("X-Second", "2")], sys.exc_info())
    return [b"replaced"]


def late_exc_info(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [raw.TEXT])
    write(b"sent, ")
    error = RuntimeError("after the headers are sent")
    try:
        raise error
    except RuntimeError:
        try:
            start_response("500 Internal Server Error", [raw.TEXT], sys.exc_info())
        except RuntimeError as raised:
            return [b"raised" if raised is error else b"another raised"]
    return [b"not raised"]


def fails(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise RuntimeError("straight from the callable")


def missing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [raw.TEXT])
    return [b"not found"]


ENDPOINTS = {
    "/": index,
    "/json": as_json,
    "/echo": echo,
    "/stream": stream,
    "/server": server,
    "/lines": lines,
    "/upload/held": held,
    "/headers/odd": odd_headers,
    "/headers/latin1": latin1_headers,
    "/headers/empty": empty_headers,
    "/chunks": chunks,
    "/write": write,
    "/exc_info": exc_info,
    "/exc_info/late": late_exc_info,
    "/error/raw": fails,
}


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return ENDPOINTS.get(environ.get("PATH_INFO", ""), missing)(environ, start_response)
