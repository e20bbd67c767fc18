"""FastAPI on a WSGI server."""

from bridge import AsgiToWsgi
from compat_matrix.apps.fastapi_app import app

served = AsgiToWsgi(app)
