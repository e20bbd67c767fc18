"""The loopback scenarios: names, titles, contestants, targets. Measures through real servers."""

from __future__ import annotations

from functools import partial

from benchmarks.loopback.served_rate import served_rate
from benchmarks.model import Contestant, Reference, Scenario, Target

_GRANIAN = "Granian WSGI"
_GRANIAN_40 = "Granian WSGI, 40 threads"


def _contestant(name: str, server: str, module: str, *extra: str, note: str = "") -> Contestant:
    return Contestant(name, partial(served_rate, server, module, extra), note)


SCENARIOS = (
    Scenario(
        name="uvicorn_trivial",
        title="Uvicorn (uvloop, httptools), trivial application, 32 connections",
        unit="responses/s",
        subjects=("bridge",),
        contestants=(
            _contestant("bridge", "uvicorn-httptools", "trivial_bridge"),
            _contestant("a2wsgi", "uvicorn-httptools", "trivial_a2wsgi"),
            _contestant("pure ASGI", "uvicorn-httptools", "trivial_asgi", note="reference: no bridge, no thread"),
        ),
        references=(
            Reference("a2wsgi", ("a2wsgi",)),
            Reference("pure ASGI", ("pure ASGI",)),
        ),
        targets=(Target("bridge", "pure ASGI", at_least=0.9),),
        seconds=2.0,
    ),
    Scenario(
        name="servers_flask",
        title="whole servers, the same Flask view, one process, 32 connections",
        unit="responses/s",
        subjects=("Uvicorn + bridge", "Hypercorn + bridge"),
        contestants=(
            _contestant("Uvicorn + bridge", "uvicorn-httptools", "flask_bridge"),
            _contestant("Uvicorn + a2wsgi", "uvicorn-httptools", "flask_a2wsgi"),
            _contestant("Gunicorn gthread", "gunicorn-gthread", "flask_wsgi", note="40 threads"),
            _contestant("Waitress", "waitress", "flask_wsgi", note="40 threads"),
            _contestant(_GRANIAN, "granian-wsgi", "flask_wsgi", "--workers", "1", note="its default of threads"),
            _contestant(_GRANIAN_40, "granian-wsgi", "flask_wsgi", "--workers", "1", "--blocking-threads", "40"),
            _contestant("Hypercorn + bridge", "hypercorn-asyncio", "flask_bridge", note="for information"),
        ),
        references=(
            Reference("a2wsgi", ("Uvicorn + a2wsgi",)),
            Reference("Gunicorn", ("Gunicorn gthread",)),
            Reference("Granian's better one", (_GRANIAN, _GRANIAN_40)),
        ),
        targets=(
            Target("Uvicorn + bridge", "a2wsgi", at_least=2.3),
            Target("Uvicorn + bridge", "Gunicorn", at_least=2.0),
            Target("Uvicorn + bridge", "Granian's better one", at_least=0.95),
        ),
        seconds=2.0,
    ),
    Scenario(
        name="gunicorn_fastapi",
        title="Gunicorn gthread, FastAPI's def endpoint, one process of 40 threads, 32 connections",
        unit="responses/s",
        subjects=("Gunicorn + bridge",),
        contestants=(
            _contestant("Gunicorn + bridge", "gunicorn-gthread", "fastapi_bridge"),
            _contestant("Gunicorn + a2wsgi", "gunicorn-gthread", "fastapi_a2wsgi"),
            _contestant("Uvicorn", "uvicorn-httptools", "fastapi_asgi", note="reference: no bridge"),
        ),
        references=(
            Reference("a2wsgi", ("Gunicorn + a2wsgi",)),
            Reference("Uvicorn", ("Uvicorn",)),
        ),
        targets=(Target("Gunicorn + bridge", "a2wsgi", at_least=1.5),),
        seconds=2.0,
    ),
)
