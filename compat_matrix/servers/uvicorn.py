"""Uvicorn: the pure Python stack and the compiled one."""

import re
import sys

from compat_matrix.servers.recipe import Recipe

_READY = re.compile(r"Uvicorn running on ")


def _h11(target: str, port: int) -> list[str]:
    # fmt: off
    return [
        sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port),
        "--loop", "asyncio", "--http", "h11", target,
    ]
    # fmt: on


def _httptools(target: str, port: int) -> list[str]:
    # fmt: off
    return [
        sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port),
        "--loop", "uvloop", "--http", "httptools", target,
    ]
    # fmt: on


UVICORN_H11 = Recipe(
    name="uvicorn-h11",
    interface="asgi",
    package="uvicorn",
    command=_h11,
    ready=_READY,
    http2=False,
    lifespan=True,
    event_loop="asyncio",
    mount_option="--root-path",
    also=("h11",),
    quiet=("--no-access-log",),
    one_date=False,
)

UVICORN_HTTPTOOLS = Recipe(
    name="uvicorn-httptools",
    interface="asgi",
    package="uvicorn",
    command=_httptools,
    ready=_READY,
    http2=False,
    lifespan=True,
    event_loop="asyncio",
    mount_option="--root-path",
    also=("httptools", "uvloop"),
    quiet=("--no-access-log",),
    # httptools_impl.py, send(): what the client speaks is not looked at.
    speaks_http10=False,
    one_date=False,
    strips_values=False,
    takes_request_trailers=False,
)
