"""A Django application with event streams, and the middleware of a new project that needs no database."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

import bridge
from benchmarks.streams.hub import hub


def events(request: Any) -> Any:
    """Stream from the event loop."""
    return StreamingHttpResponse(bridge.stream(hub.events()), content_type="text/event-stream")


def plain(request: Any) -> Any:
    """Answer with a short string."""
    return HttpResponse("plain")


settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of the benchmark",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    ROOT_URLCONF=(path("events", events), path("plain", plain)),
)
django.setup()
application = get_wsgi_application()
