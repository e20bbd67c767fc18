"""What a server makes impossible, whatever the bridge does.

Each entry is a strict expected failure: the test turns red as soon as the server gets better.
"""

from dataclasses import dataclass

from compat_matrix.servers import RECIPES
from compat_matrix.wire import TIMEOUT


@dataclass(frozen=True)
class Known:
    """Why a test cannot pass on a server, and how it fails there."""

    reason: str
    raises: type[BaseException] | tuple[type[BaseException], ...] = AssertionError
    wait: float = TIMEOUT
    """Seconds until a client gives up. Less where the failure is that nothing comes: a server that got better would
    answer well before."""


_NO_TRIO = Known(
    "monkey patches take select.epoll away, which trio needs; under eventlet's, trio cannot even be imported"
)

# simple_server.py, get_environ(): the type is what email.message gives for a message without one.
_WSGIREF = {
    "test_request_without_a_body_has_no_headers_about_one": Known("wsgiref invents Content-Type: text/plain"),
}

# pywsgi.py, process_result(): the last chunk, 0, is written whatever the method was. As the connection goes on,
# the client takes it for the beginning of the next response.
_GEVENT = {
    "test_response_to_head_has_no_body_either_when_its_length_is_unknown": Known(
        "gevent.pywsgi ends a response to HEAD with an empty chunk", IndexError
    ),
    "test_startup_on_trio": _NO_TRIO,
}

# task.py, finish(): the same, but the connection is closed then.
_WAITRESS = {
    "test_response_to_head_has_no_body_either_when_its_length_is_unknown": Known(
        "waitress ends a response to HEAD with an empty chunk"
    ),
}

_CHEROOT = {
    "test_path_with_encoded_slash_is_decoded": Known("cheroot leaves %2F in PATH_INFO"),
    "test_repeated_headers_keep_each_value_and_their_order": Known("cheroot keeps the last value only"),
    "test_response_begins_before_the_upload_has_ended": Known(
        "cheroot throws the rest of a body away when it sends the headers", TimeoutError, wait=0.5
    ),
    "test_timeout_of_the_application_fires_while_the_client_is_silent": Known(
        "cheroot waits for the rest of a body when it sends the headers", TimeoutError, wait=0.5
    ),
}

_GRANIAN = {
    "test_header_values_are_bytes": Known('granian makes "" of a value that is not ASCII'),
    "test_header_values_are_bytes_to_the_client_too": Known("granian sends header values as UTF-8"),
    "test_chunked_upload_that_is_cut_off_is_a_disconnect": Known("granian ends a cut body like a complete one"),
    "test_upload_that_is_cut_off_in_a_chunk_is_a_disconnect": Known("granian ends a cut body like a complete one"),
    "test_failure_after_the_first_chunk_leaves_the_response_incomplete": Known(
        "granian ends the response of a failing application like a complete one"
    ),
}
if RECIPES["granian-wsgi"].exits_on is None:
    _GRANIAN["test_shutdown_comes_after_the_last_exchange"] = Known(
        "granian's worker processes end without their atexit handlers before Python 3.13"
    )

# mod_wsgi.c: the process of the server passes the whole request on before it looks for a response.
_MOD_WSGI_DAEMON = {
    "test_response_begins_before_the_upload_has_ended": Known(
        "mod_wsgi's daemon is heard when the whole body has arrived", TimeoutError, wait=0.5
    ),
    "test_timeout_of_the_application_fires_while_the_client_is_silent": Known(
        "mod_wsgi's daemon is heard when the whole body has arrived", TimeoutError, wait=0.5
    ),
    "test_failure_after_the_first_chunk_leaves_the_response_incomplete": Known(
        "Apache ends the response of a daemon that fails like a complete one"
    ),
}

KNOWN: dict[tuple[str, str], Known] = {
    (test, name): known
    for name, table in {
        "wsgiref": _WSGIREF,
        "gevent": _GEVENT,
        "gunicorn-gevent": {"test_startup_on_trio": _NO_TRIO},
        "eventlet": {"test_startup_on_trio": _NO_TRIO},
        "waitress": _WAITRESS,
        "cheroot": _CHEROOT,
        "granian-wsgi": _GRANIAN,
        "mod_wsgi-daemon": _MOD_WSGI_DAEMON,
    }.items()
    for test, known in table.items()
}
"""By test and name of the recipe."""
