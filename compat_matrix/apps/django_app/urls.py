"""Where the views are."""

from __future__ import annotations

from django.contrib.staticfiles.views import serve
from django.urls import path

from compat_matrix.apps.django_app import views

urlpatterns = [
    path("", views.index),
    path("echo", views.echo),
    path("json", views.json, name="json"),
    path("args", views.args),
    path("paths/<path:rest>", views.paths),
    path("form", views.form),
    path("multipart", views.multipart),
    path("upload", views.upload),
    path("upload/watch", views.upload_watch),
    path("ignore", views.ignore),
    path("download", views.download),
    path("download/declared", views.download_declared),
    path("stream", views.stream),
    path("endless", views.endless),
    path("events", views.events),
    path("cookies", views.cookies),
    path("session", views.visits),
    path("redirect", views.to_json),
    path("url", views.url),
    path("slashed/", views.slashed),
    path("error/before", views.error_before),
    path("error/after", views.error_after),
    path("error/short", views.error_short),
    path("error/http", views.error_http),
    path("headers/large", views.headers_large),
    path("headers/repeated", views.headers_repeated),
    path("status/204", views.status_204),
    path("status/304", views.status_304),
    path("empty", views.empty),
    path("conditional", views.conditional),
    path("file", views.file),
    path("static/<path:path>", serve, {"insecure": True}),
    path("blocking", views.blocking),
    path("async", views.asynchronous),
    path("context", views.context),
]
