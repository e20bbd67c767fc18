"""What the servers of the matrix serve: one application, through one adapter, also mounted and under validators.

Which ones, environment variables say, since a server only takes "module:attribute" (served.py).

================  =====================================================================
path              what is there
================  =====================================================================
``/...``          the application
``/mounted/...``  the same, mounted: SCRIPT_NAME or root_path is ``/mounted``
``/checked/...``  the same, with validators on both sides of the adapter; mounted, too
``/complaints``   what the validators have said since the last look: a JSON list
================  =====================================================================
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from compat_matrix.model import NATIVE, Adapter, App
from compat_matrix.mounting import mount_asgi, mount_wsgi
from compat_matrix.validators import complaints_asgi, complaints_wsgi, validated

_APP = "COMPAT_MATRIX_APP"
_ADAPTER = "COMPAT_MATRIX_ADAPTER"
_INTERFACE = "COMPAT_MATRIX_INTERFACE"

TARGET = "compat_matrix.served:app"
MOUNT = "/mounted"
CHECKED = "/checked"
COMPLAINTS = "/complaints"


def variables(app: App, adapter: Adapter | None) -> dict[str, str]:
    """Return the environment variables of a server that serves *app*, natively if *adapter* is None."""
    return {_APP: app.target, _ADAPTER: adapter.wrap if adapter else NATIVE, _INTERFACE: app.interface}


def load(target: str) -> Any:
    """Return what ``"module:attribute"`` names."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def build(target: str, wrap: str, interface: str) -> Any:
    """Return the application to serve; see the module's text.

    Args:
        target: ``"module:attribute"`` of the application.
        wrap: the same of the adapter, or ``"native"``.
        interface: of the application.
    """
    application = load(target)
    adapt = (lambda plain: plain) if wrap == NATIVE else load(wrap)
    plain = adapt(application)
    checked = validated(application, adapt, interface, bridged=wrap != NATIVE)
    outside = interface if wrap == NATIVE else {"wsgi": "asgi", "asgi": "wsgi"}[interface]
    if outside == "wsgi":
        return mount_wsgi(plain, {MOUNT: plain, CHECKED: checked, COMPLAINTS: complaints_wsgi})
    return mount_asgi(plain, {MOUNT: plain, CHECKED: checked, COMPLAINTS: complaints_asgi})


def from_environment() -> Any:
    """Build what the environment variables say."""
    return build(os.environ[_APP], os.environ[_ADAPTER], os.environ[_INTERFACE])
