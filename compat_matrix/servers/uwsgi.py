"""uWSGI on its own HTTP socket: threads, and several processes forked after or before the application is imported."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from compat_matrix.servers.recipe import Recipe


def _command(*options: str) -> Callable[[str, int], list[str]]:
    def command(target: str, port: int) -> list[str]:
        # With --die-on-term workers end at once, and one that is busy runs no atexit handlers (python_plugin.c,
        # uwsgi_python_atexit). With this hook, SIGTERM lets each finish its request before.
        # fmt: off
        return [
            str(Path(sys.executable).with_name("uwsgi")), "--http-socket", f"127.0.0.1:{port}",
            "--master", "--need-app", "--virtualenv", sys.prefix, "--pythonpath", ".",
            "--hook-master-start", "unix_signal:15 gracefully_kill_them_all",
            "--hook-master-start", "print:the master hears signals",
            "--hook-accepting", "print:this worker accepts connections",
            *options, target,
        ]
        # fmt: on

    return command


def _ready(processes: int) -> re.Pattern[str]:
    # The connections that come before are not lost, but a signal is.
    return re.compile(
        rf"(?ms)\A(?=.*^the master hears signals$)(?:.*?^this worker accepts connections$){{{processes}}}"
    )


UWSGI = Recipe(
    name="uwsgi",
    interface="wsgi",
    package="uwsgidecorators",
    command=_command("--threads", "20"),
    ready=_ready(1),
    http2=False,
    lifespan=False,
    event_loop="none",
    target_option="--module",
    lazy_continue=False,
    installed_by="uwsgi",
    keep_alive=False,
    raw_target="REQUEST_URI",
    sends_continue=False,
    chunked_input="own",
    frames_body=False,
    ends_before_close=False,
    answers_failure=False,
    drops_underscores=False,
    joins_cookies=False,
    strips_values=False,
    takes_long_lines=False,
    keeps_dots=False,
    takes_broken_escapes=False,
    takes_chunk_extensions=False,
    reads_lines=False,
    replaces_headers=False,
    raises_exc_info=False,
)

UWSGI_PROCESSES = replace(
    UWSGI,
    name="uwsgi-processes",
    command=_command("--processes", "2", "--enable-threads"),
    ready=_ready(2),
    concurrent=False,
    processes=2,
)

UWSGI_LAZY = replace(
    UWSGI_PROCESSES,
    name="uwsgi-lazy",
    command=_command("--processes", "2", "--lazy-apps", "--enable-threads"),
)
