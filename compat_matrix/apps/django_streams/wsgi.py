"""The project for WSGI servers."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "compat_matrix.apps.django_streams.settings"

application = get_wsgi_application()
