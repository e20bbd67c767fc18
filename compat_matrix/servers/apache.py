"""Apache with mod_wsgi: the application in Apache's own process, or in a daemon process beside it."""

import re
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

from compat_matrix.servers.recipe import Recipe


def _command(*options: str) -> Callable[[str, int], list[str]]:
    def command(target: str, port: int) -> list[str]:
        return [sys.executable, "-m", "compat_matrix.launch.apache", "--port", str(port), *options, target]

    return command


# Apache listens before it has a process that serves, and imports the application there.
_READY = re.compile(r"the application is there")

MOD_WSGI = Recipe(
    name="mod_wsgi",
    interface="wsgi",
    package="mod_wsgi",
    command=_command(),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    program="apache2",
    installed_by="apache",
    raw_target="REQUEST_URI",
    ends_before_close=False,
    hands_out_socket=False,
    exits_on=signal.SIGWINCH,  # "graceful stop"; SIGTERM cuts what runs
    # A response whose application has failed is left open until KeepAliveTimeout, 5 s; a daemon's gets the last chunk,
    # as if complete. Observed natively, too.
    cuts_failed_response=False,
    survives_failed_response=False,
    sends_bare_head=False,
    joins_cookies=False,
    takes_double_slash=False,
    keeps_slashes=False,
    keeps_dots=False,
    takes_broken_escapes=False,
)

MOD_WSGI_DAEMON = replace(
    MOD_WSGI,
    name="mod_wsgi-daemon",
    command=_command("--daemon"),
    lazy_continue=False,
    answers_early=False,
)
