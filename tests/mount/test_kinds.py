"""Applications of either interface as one of the other."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask

from bridge import AsgiToWsgi, ConfigurationError, WsgiToAsgi
from bridge.mount import as_asgi, as_wsgi


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return []


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


class Asgi2:
    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await send({"type": "seen", "path": self.scope["path"]})


def unclear(*arguments: Any) -> Any: ...


def test_application_of_the_asked_for_kind_is_returned_itself() -> None:
    """No adapter where none is needed."""
    flask, fastapi = Flask("a"), FastAPI()

    assert (as_asgi(asgi), as_wsgi(wsgi)) == (asgi, wsgi)
    assert as_asgi(fastapi) is fastapi
    assert as_wsgi(flask) is flask


def test_application_of_the_other_kind_is_wrapped() -> None:
    """In the adapter of its direction."""
    assert isinstance(as_asgi(Flask("a")), WsgiToAsgi)
    assert isinstance(as_wsgi(FastAPI()), AsgiToWsgi)


async def test_double_callable_is_called_in_one() -> None:
    """ASGI specification, "Legacy Applications"."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any: ...

    await as_asgi(Asgi2)({"type": "http", "path": "/a"}, receive, send)

    assert sent == [{"type": "seen", "path": "/a"}]
    assert isinstance(as_wsgi(Asgi2), AsgiToWsgi)


def test_kind_decides_where_the_signature_does_not() -> None:
    """It is not guessed: a wrong guess is an error in each request."""
    with pytest.raises(ConfigurationError, match="say what it is: kind='wsgi', 'asgi' or 'asgi2'"):
        as_asgi(unclear)

    assert as_asgi(unclear, kind="asgi") is unclear
    assert isinstance(as_asgi(unclear, kind="wsgi"), WsgiToAsgi)
    assert as_wsgi(unclear, kind="wsgi") is unclear
    assert isinstance(as_wsgi(unclear, kind="asgi"), AsgiToWsgi)


@pytest.mark.parametrize("convert", [as_asgi, as_wsgi])
@pytest.mark.parametrize(("app", "kind"), [("app", None), (None, "wsgi"), (wsgi, "fcgi")])
def test_what_is_no_application_is_refused(convert: Any, app: Any, kind: Any) -> None:
    """With an error that says what was given."""
    with pytest.raises(ConfigurationError, match=r"type str|got None|got 'fcgi'"):
        convert(app, kind=kind)
