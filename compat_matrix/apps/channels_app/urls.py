"""Where Django's views are."""

from __future__ import annotations

from django.contrib.staticfiles.views import serve
from django.urls import path

from compat_matrix.apps.channels_app import views

urlpatterns = [
    path("json", views.json, name="json"),
    path("args", views.args),
    path("paths/<path:rest>", views.paths),
    path("form", views.form),
    path("multipart", views.multipart),
    path("endless", views.endless),
    path("cookies", views.cookies),
    path("redirect", views.to_json),
    path("url", views.url),
    path("slashed/", views.slashed),
    path("error/http", views.error_http),
    path("headers/large", views.headers_large),
    path("status/204", views.status_204),
    path("status/304", views.status_304),
    path("empty", views.empty),
    path("conditional", views.conditional),
    path("file", views.file),
    path("static/<path:path>", serve, {"insecure": True}),
    path("blocking", views.blocking),
]
