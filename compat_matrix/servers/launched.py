"""WSGI servers that ``compat_matrix.launch`` starts, since they have no command line of their own that serves."""

import re
import sys
from collections.abc import Callable

from compat_matrix.servers.recipe import Recipe

_READY = re.compile(r"Listening on http://")


def _command(module: str, *options: str) -> Callable[[str, int], list[str]]:
    def command(target: str, port: int) -> list[str]:
        return [sys.executable, "-m", f"compat_matrix.launch.{module}", "--port", str(port), *options, target]

    return command


WSGIREF = Recipe(
    name="wsgiref",
    interface="wsgi",
    package="wsgiref",
    command=_command("wsgiref"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    lazy_continue=False,
    concurrent=False,
    keep_alive=False,
    sends_continue=False,
    chunked_input="never",
    frames_body=False,
    ends_before_close=False,
    drops_underscores=False,
    joins_cookies=False,
    invents_type=True,
    refuses_two_lengths=False,
    knows_head=False,
    takes_double_slash=False,
    reads_lines=False,
)

WERKZEUG = Recipe(
    name="werkzeug",
    interface="wsgi",
    package="werkzeug",
    command=_command("werkzeug"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    lazy_continue=False,
    keep_alive=False,
    raw_target="RAW_URI",
    # serving.py, DechunkedInput.readinto(): says that it has read what did not come, so io.RawIOBase.read() copies
    # memory that is not its own: foreign bytes in the body, or SIGSEGV.
    survives_cut_chunk=False,
    # serving.py, run_wsgi(): what the client speaks is not looked at.
    speaks_http10=False,
    joins_cookies=False,
    strips_values=False,
    one_date=False,
    takes_chunk_extensions=False,
    takes_request_trailers=False,
    refuses_two_lengths=False,
    takes_double_slash=False,
    reads_lines=False,
)

WERKZEUG_SERIAL = Recipe(
    name="werkzeug-serial",
    interface="wsgi",
    package="werkzeug",
    command=_command("werkzeug", "--threads", "0"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    lazy_continue=False,
    concurrent=False,
    keep_alive=False,
    raw_target="RAW_URI",
    survives_cut_chunk=False,
    frames_body=False,
    ends_before_close=False,
    joins_cookies=False,
    strips_values=False,
    one_date=False,
    takes_chunk_extensions=False,
    takes_request_trailers=False,
    refuses_two_lengths=False,
    takes_double_slash=False,
    reads_lines=False,
)

CHEROOT = Recipe(
    name="cheroot",
    interface="wsgi",
    package="cheroot",
    command=_command("cheroot"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    lazy_continue=False,
    raw_target="REQUEST_URI",
    ends_before_close=False,
    # Its writers are flushed when they are collected, long after the connection was closed.
    own_noise=re.compile(
        r"Exception ignored in: <function IOBase\.__del__ .*\n(?:.*\n)*?.*cheroot.makefile.*\n(?:.*\n)*?OSError: .*\n"
    ),
    drops_underscores=False,
    joins_repeated=False,
    joins_cookies=False,
    decodes_slash=False,
    takes_double_slash=False,
    takes_absolute_form=False,
    answers_early=False,
    refuses_two_lengths=False,
    refuses_bad_length=False,
    reads_lines=False,
    replaces_headers=False,
)

GEVENT = Recipe(
    name="gevent",
    interface="wsgi",
    package="gevent",
    command=_command("gevent"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    monkey_patched="gevent",
    refuses_two_lengths=False,
    ends_head=False,
)

EVENTLET = Recipe(
    name="eventlet",
    interface="wsgi",
    package="eventlet",
    command=_command("eventlet"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    monkey_patched="eventlet",
    raw_target="RAW_PATH_INFO",
    chunked_input="unsaid",
    refuses_two_lengths=False,
    takes_double_slash=False,
    # wsgi.py, get_environ(): always "HTTP/1.0".
    tells_version=False,
    reads_lines=False,
)

TWISTED = Recipe(
    name="twisted",
    interface="wsgi",
    package="twisted",
    command=_command("twisted"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    streams_body=False,
    # web/wsgi.py, write(): the reactor's transport.write(), without a producer.
    holds_back=False,
    # web/wsgi.py, run(): with the first chunk that is not empty, or after close().
    sends_bare_head=False,
    lazy_continue=False,
    graceful_stop=False,
    chunked_input="unsaid",
    ends_before_close=False,
    hands_out_socket=False,
    drops_underscores=False,
    joins_cookies=False,
    takes_absolute_form=False,
)
