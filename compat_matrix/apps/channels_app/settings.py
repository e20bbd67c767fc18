"""Settings of the project: no database, sessions in signed cookies."""

from __future__ import annotations

from typing import Any

from compat_matrix.apps.support import STATIC

SECRET_KEY = "of the matrix"
ALLOWED_HOSTS = ["*"]
DEBUG = False

ROOT_URLCONF = "compat_matrix.apps.channels_app.urls"
ASGI_APPLICATION = "compat_matrix.apps.channels_app.asgi.app"
INSTALLED_APPS = ["channels", "django.contrib.staticfiles"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]

SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

STATIC_URL = "static/"
STATICFILES_DIRS = [STATIC]

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django": {"handlers": ["console"], "level": "ERROR", "propagate": False}},
}
