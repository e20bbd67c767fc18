"""Applications as users write them, one a framework, and two without one; README.md. Imports no framework."""

from __future__ import annotations

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
}
_NO_SLASH = {"trailing slash": "the router does not redirect to the path with a slash"}
_OF_BOTTLE = _OF_ASGI | _NO_ASYNC | _NO_SLASH
_OF_FALCON = _OF_ASGI | _NO_ASYNC | _NO_SLASH | {"sessions": "no sessions, and no signed cookies"}

APPS: dict[str, App] = {
    app.name: app
    for app in (
        App("flask", "Flask", "wsgi", "compat_matrix.apps.flask_app:app", ("flask", "asgiref"), _OF_ASGI),
        App(
            "flask-asgi",
            "Flask",
            "asgi",
            "compat_matrix.apps.flask_asgi_app:app",
            ("flask", "asgiref"),
            _OF_ASGI,
            same_as="flask",
        ),
        App("django", "Django", "wsgi", "compat_matrix.apps.django_app.wsgi:application", ("django",), _OF_ASGI),
        App("django-asgi", "Django", "asgi", "compat_matrix.apps.django_app.asgi:app", ("django",), _OF_DJANGO),
        App("bottle", "Bottle", "wsgi", "compat_matrix.apps.bottle_app:app", ("bottle",), _OF_BOTTLE),
        App("pyramid", "Pyramid", "wsgi", "compat_matrix.apps.pyramid_app:app", ("pyramid",), _OF_ASGI | _NO_ASYNC),
        App("falcon", "Falcon", "wsgi", "compat_matrix.apps.falcon_app:app", ("falcon",), _OF_FALCON),
        App(
            "starlette",
            "Starlette",
            "asgi",
            "compat_matrix.apps.starlette_app:app",
            ("starlette", "itsdangerous", "python_multipart"),
        ),
        App("quart", "Quart", "asgi", "compat_matrix.apps.quart_app:app", ("quart",)),
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
            {"trailing slash": "Litestar's router takes a path with and without it"},
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
            },
        ),
        App("pep3333", "PEP 3333", "wsgi", "compat_matrix.apps.pep3333_app:app", (), raw=True),
        App("asgi3", "ASGI 3", "asgi", "compat_matrix.apps.asgi3_app:app", (), raw=True),
    )
}
"""By name."""
