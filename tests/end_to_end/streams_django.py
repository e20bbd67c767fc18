"""A Django application with four threads that streams to thousands; run in the server's process."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

import bridge

from .streams_hub import Hub, holdings, stats

hub = Hub()


def events(request: Any) -> Any:
    return StreamingHttpResponse(bridge.stream(hub.events()), content_type="text/event-stream")


def tell(request: Any) -> Any:
    bridge.run_async(hub.tell)
    return HttpResponse("told")


def plain(request: Any) -> Any:
    return HttpResponse("plain")


def of_adapter(request: Any) -> Any:
    return JsonResponse(stats(served))


def of_process(request: Any) -> Any:
    return JsonResponse(holdings())


# What startproject writes, but for what needs a database.
settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of the tests",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    ROOT_URLCONF=(
        path("events", events),
        path("tell", tell),
        path("plain", plain),
        path("stats", of_adapter),
        path("holdings", of_process),
    ),
)
django.setup()

served = bridge.WsgiToAsgi(get_wsgi_application(), threads=4)
