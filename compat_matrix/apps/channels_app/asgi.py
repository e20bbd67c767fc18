"""What servers import: which paths are consumers'. The rest is Django's."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import SessionMiddlewareStack
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

os.environ["DJANGO_SETTINGS_MODULE"] = "compat_matrix.apps.channels_app.settings"

django = get_asgi_application()

from compat_matrix.apps.channels_app import consumers  # noqa: E402  # needs the settings

app = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                path("", consumers.Index.as_asgi()),
                path("echo", consumers.Echo.as_asgi()),
                path("upload", consumers.Upload.as_asgi()),
                path("upload/watch", consumers.UploadWatch.as_asgi()),
                path("ignore", consumers.Ignore.as_asgi()),
                path("download", consumers.Download.as_asgi()),
                path("download/declared", consumers.DownloadDeclared.as_asgi()),
                path("stream", consumers.Stream.as_asgi()),
                path("events", consumers.Events.as_asgi()),
                path("session", SessionMiddlewareStack(consumers.Session.as_asgi())),
                path("error/before", consumers.ErrorBefore.as_asgi()),
                path("error/after", consumers.ErrorAfter.as_asgi()),
                path("error/short", consumers.ErrorShort.as_asgi()),
                path("headers/repeated", consumers.HeadersRepeated.as_asgi()),
                path("async", consumers.Asynchronous.as_asgi()),
                path("background", consumers.Background.as_asgi()),
                path("context", consumers.Context.as_asgi()),
                re_path("", django),
            ]
        ),
        "websocket": URLRouter(
            [
                path("ws/echo", consumers.EchoMessages.as_asgi()),
                path("ws/handshake", consumers.Handshake.as_asgi()),
                path("ws/watch", consumers.Watch.as_asgi()),
                path("ws/refused", consumers.Refused.as_asgi()),
                path("ws/close", consumers.Close.as_asgi()),
                path("ws/returns", consumers.Returns.as_asgi()),
                path("ws/fails", consumers.Fails.as_asgi()),
                path("ws/endless", consumers.EndlessMessages.as_asgi()),
            ]
        ),
    }
)
