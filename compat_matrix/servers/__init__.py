"""Real servers, started as processes on loopback. Knows command lines, never what they serve."""

from compat_matrix.servers.apache import MOD_WSGI, MOD_WSGI_DAEMON
from compat_matrix.servers.daphne import DAPHNE
from compat_matrix.servers.granian import GRANIAN, GRANIAN_WSGI
from compat_matrix.servers.gunicorn import GUNICORN_GEVENT, GUNICORN_GTHREAD, GUNICORN_SYNC
from compat_matrix.servers.hypercorn import HYPERCORN_ASYNCIO, HYPERCORN_TRIO, HYPERCORN_UVLOOP
from compat_matrix.servers.launched import CHEROOT, EVENTLET, GEVENT, TWISTED, WERKZEUG, WERKZEUG_SERIAL, WSGIREF
from compat_matrix.servers.recipe import Recipe
from compat_matrix.servers.running import RunningServer, ServerFailedError, start
from compat_matrix.servers.uvicorn import UVICORN_H11, UVICORN_HTTPTOOLS
from compat_matrix.servers.uwsgi import UWSGI, UWSGI_LAZY, UWSGI_PROCESSES
from compat_matrix.servers.waitress import WAITRESS

__all__ = ["RECIPES", "Recipe", "RunningServer", "ServerFailedError", "start"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        UVICORN_H11,
        UVICORN_HTTPTOOLS,
        HYPERCORN_ASYNCIO,
        HYPERCORN_UVLOOP,
        HYPERCORN_TRIO,
        DAPHNE,
        GRANIAN,
        GUNICORN_SYNC,
        GUNICORN_GTHREAD,
        GUNICORN_GEVENT,
        WAITRESS,
        GRANIAN_WSGI,
        WSGIREF,
        WERKZEUG,
        WERKZEUG_SERIAL,
        CHEROOT,
        GEVENT,
        EVENTLET,
        TWISTED,
        UWSGI,
        UWSGI_PROCESSES,
        UWSGI_LAZY,
        MOD_WSGI,
        MOD_WSGI_DAEMON,
    )
}
