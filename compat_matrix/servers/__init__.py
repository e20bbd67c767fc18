"""Real servers, started as processes on loopback. Knows command lines, never what they serve."""

from compat_matrix.servers.daphne import DAPHNE
from compat_matrix.servers.granian import GRANIAN, GRANIAN_WSGI
from compat_matrix.servers.gunicorn import GUNICORN_GTHREAD
from compat_matrix.servers.hypercorn import HYPERCORN_ASYNCIO, HYPERCORN_TRIO, HYPERCORN_UVLOOP
from compat_matrix.servers.recipe import Recipe
from compat_matrix.servers.running import RunningServer, ServerFailedError, start
from compat_matrix.servers.uvicorn import UVICORN_H11, UVICORN_HTTPTOOLS
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
        GUNICORN_GTHREAD,
        WAITRESS,
        GRANIAN_WSGI,
    )
}
