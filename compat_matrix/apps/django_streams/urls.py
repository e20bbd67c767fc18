"""Where the views are."""

from __future__ import annotations

from django.urls import path

from compat_matrix.apps.django_streams import views

urlpatterns = [
    path("", views.index),
    path("long/events", views.events),
    path("long/fails", views.fails),
    path("long/wait", views.wait),
    path("long/wait/over", views.wait_over),
    path("long/wait/fails", views.wait_fails),
    path("hints", views.hints),
]
