"""What the end-to-end tests serve: FastAPI, Flask, and beside them what has a server of its own."""

from __future__ import annotations

import os

from fastapi import FastAPI
from flask import Flask, redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.mount import Dispatcher
from bridge.mount.upstream import Upstream

api = FastAPI()
flask = Flask(__name__)


@api.get("/")
def api_root() -> dict[str, str]:
    return {"from": "FastAPI"}


@flask.get("/")
def flask_root() -> str:
    return f"Flask below {request.script_root}"


@flask.get("/moved")
def moved() -> Response:
    return redirect(url_for("flask_root"))


upstreams = {
    prefix: Upstream(os.environ[variable])
    for prefix, variable in {"/aiohttp": "AIOHTTP_URL", "/vibora": "VIBORA_URL"}.items()
    if variable in os.environ
}
app = Dispatcher(api, {"/flask": flask, **upstreams})
