"""Applications as users write them: of each framework, of none, and of bridge; README.md. Imports no framework."""

from __future__ import annotations

from dataclasses import replace

from compat_matrix.model import App

_NO_ASYNC = {"async": "no async def views"}
_OF_ASGI = {
    "background": "background tasks are ASGI's: a WSGI response ends with the call",
    "lifespan": "lifespan is ASGI's",
}
_OF_DJANGO = {
    "background": "a view of Django has nothing that runs after its response",
    "lifespan": "Django's ASGI handler refuses lifespan",
    "streamed upload": "Django's ASGI handler collects the body before it calls the view",
    "early answer": "Django's ASGI handler collects the body before it calls the view",
    "websocket": "Django has no WebSockets; Channels has",
}
_OF_FLASK = _OF_ASGI | {"websocket headers": "flask-sock answers the handshake, without headers of the application"}
_NO_DENIAL = {"websocket denial": "a WebSocket is refused by a close, not by a response"}
_NO_SLASH = {"trailing slash": "the router does not redirect to the path with a slash"}
_OF_BOTTLE = _OF_ASGI | _NO_ASYNC | _NO_SLASH | {"websocket": "Bottle has no WebSockets"}
_OF_PYRAMID = _OF_ASGI | _NO_ASYNC | {"websocket": "Pyramid has no WebSockets"}
_OF_FALCON = (
    _OF_ASGI
    | _NO_ASYNC
    | _NO_SLASH
    | {
        "websocket": "Falcon has WebSockets for ASGI only",
        "sessions": "no sessions, and no signed cookies",
    }
)

APPS: dict[str, App] = {
    # Socket.IO is a library's, of which the one for Flask is in the matrix; two applications know bridge.
    app.name: replace(
        app,
        lacks=dict(app.lacks)
        | ({} if app.title == "Flask" else {"socket.io": "Socket.IO is Flask's here"})
        | ({} if app.only == "long-lived" else {"long-lived": "the application knows nothing of bridge"}),
    )
    for app in (
        App(
            "flask",
            "Flask",
            "wsgi",
            "compat_matrix.apps.flask_sock_app:app",
            ("flask", "asgiref", "flask_sock", "flask_socketio"),
            _OF_FLASK,
        ),
        App(
            "flask-asgi",
            "Flask",
            "asgi",
            "compat_matrix.apps.flask_asgi_app:app",
            ("flask", "asgiref", "flask_sock", "flask_socketio"),
            _OF_FLASK,
            same_as="flask",
        ),
        App(
            "django",
            "Django",
            "wsgi",
            "compat_matrix.apps.django_app.wsgi:application",
            ("django",),
            _OF_ASGI | {"websocket": _OF_DJANGO["websocket"]},
        ),
        App("django-asgi", "Django", "asgi", "compat_matrix.apps.django_app.asgi:app", ("django",), _OF_DJANGO),
        App("bottle", "Bottle", "wsgi", "compat_matrix.apps.bottle_app:app", ("bottle",), _OF_BOTTLE),
        App("pyramid", "Pyramid", "wsgi", "compat_matrix.apps.pyramid_app:app", ("pyramid",), _OF_PYRAMID),
        App("falcon", "Falcon", "wsgi", "compat_matrix.apps.falcon_app:app", ("falcon",), _OF_FALCON),
        App(
            "starlette",
            "Starlette",
            "asgi",
            "compat_matrix.apps.starlette_app:app",
            ("starlette", "itsdangerous", "python_multipart"),
        ),
        App(
            "quart",
            "Quart",
            "asgi",
            "compat_matrix.apps.quart_app:app",
            ("quart",),
            {
                "websocket code": "Quart cancels the view, and does not tell it the code",
                "websocket failure": "Quart closes with 1000 when a view fails",
            },
        ),
        App(
            "fastapi",
            "FastAPI",
            "asgi",
            "compat_matrix.apps.fastapi_contract_app:app",
            ("fastapi", "itsdangerous", "python_multipart"),
        ),
        App(
            "litestar",
            "Litestar",
            "asgi",
            "compat_matrix.apps.litestar_app:app",
            ("litestar", "cryptography"),
            {"trailing slash": "Litestar's router takes a path with and without it"} | _NO_DENIAL,
        ),
        App(
            "sanic",
            "Sanic",
            "asgi",
            "compat_matrix.apps.sanic_app:app",
            ("sanic",),
            {
                "sessions": "Sanic has no sessions",
                "trailing slash": "Sanic's router takes a path with and without it",
                "mount": "Sanic routes by the full path and knows no root_path",
                # sanic/server/websockets/connection.py; sanic/app.py, _websocket_handler()
                "websocket close": "close() of Sanic's WebSocket on ASGI does nothing",
                "websocket code": "Sanic does not tell a view the code",
                "websocket failure": "Sanic logs what a view raises, and goes on as if it had returned",
                "websocket denial": "Sanic accepts every WebSocket before it calls the view",
                "websocket headers": "Sanic accepts without headers of the view's",
                "websocket refusal": "Sanic accepts every WebSocket before it calls the view",
            },
        ),
        App(
            "falcon-asgi",
            "Falcon",
            "asgi",
            "compat_matrix.apps.falcon_asgi_app:app",
            ("falcon", "aiofiles"),
            {
                "sessions": "no sessions, and no signed cookies",
                "mount": "Falcon routes by the full path, root_path included",
                "early answer": "Falcon takes the first message of the body before it calls a responder",
                **_NO_SLASH,
                **_NO_DENIAL,
            },
        ),
        App(
            "channels",
            "Channels",
            "asgi",
            "compat_matrix.apps.channels_app.asgi:app",
            ("channels", "django"),
            {
                "lifespan": "Channels' ProtocolTypeRouter refuses lifespan",
                "early answer": "Channels collects the body before it calls a consumer",
                **_NO_DENIAL,
            },
        ),
        App(
            "flask-streams",
            "Flask",
            "wsgi",
            "compat_matrix.apps.flask_streams_app:app",
            ("flask",),
            only="long-lived",
        ),
        App(
            "django-streams",
            "Django",
            "wsgi",
            "compat_matrix.apps.django_streams.wsgi:application",
            ("django",),
            only="long-lived",
        ),
        App("pep3333", "PEP 3333", "wsgi", "compat_matrix.apps.pep3333_app:app", (), raw=True),
        App("asgi3", "ASGI 3", "asgi", "compat_matrix.apps.asgi3_app:app", (), raw=True),
    )
}
"""By name."""
