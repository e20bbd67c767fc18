"""The echo of flask-sock's documentation. Knows no server."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from flask import Flask

application = Flask(__name__)
# Its annotations are none; they would make the view below untyped.
sock: Any = import_module("flask_sock").Sock(application)


@sock.route("/")  # type: ignore[untyped-decorator]
def echo(ws: Any) -> None:
    """Send every message back."""
    while True:
        ws.send(ws.receive())
