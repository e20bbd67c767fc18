"""The project for ASGI servers."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "compat_matrix.apps.django_app.settings"

app = get_asgi_application()
