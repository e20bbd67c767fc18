"""What a server makes impossible, whatever the bridge does.

Each entry is a strict expected failure: the test turns red as soon as the server gets better.
"""

from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Known:
    """Why a test cannot pass on a server, and how it fails there."""

    reason: str
    raises: type[BaseException] | tuple[type[BaseException], ...] = AssertionError
    wait: float = 0.5
    """Seconds until a client gives up. Short where the failure is that nothing comes: a server that got
    better would answer well before."""


# http_protocol.py, handle_exception: a second start message is sent, refused by daphne itself, and the
# connection stays open; Server.application_checker, which called it, is never scheduled again.
_DAPHNE_STAYS_OPEN = Known(
    "daphne leaves the connection open when the application fails after its headers",
    (httpx.ReadTimeout, TimeoutError),
)
_DAPHNE_CHECKER_DIES = Known(
    "daphne answers no failure any more after one application has failed after its headers",
    TimeoutError,
    wait=2.5,  # it looks for failures once a second
)
_DAPHNE_NEVER_WAITS = Known("daphne's send() writes into a buffer without limit and never waits", wait=10.0)

# protocol/h2.py, stream_send: StreamClosed forgets the stream without RST_STREAM; only the keep-alive
# timeout of the whole connection, 5 s later, ends the wait.
_HYPERCORN_NO_RESET = Known(
    "hypercorn does not reset an HTTP/2 stream whose application failed after its headers",
    httpx.ReadTimeout,
)

# protocol/h2.py, _handle_events: DataReceived for a stream that is forgotten is a KeyError, which ends
# the connection, and with the trio worker the whole server.
_HYPERCORN_LATE_DATA = Known(
    "hypercorn breaks the connection when DATA comes after the response",
    (EOFError, ConnectionError),
    wait=10.0,
)

_HYPERCORNS = ("hypercorn-asyncio", "hypercorn-uvloop", "hypercorn-trio")

_DAPHNE = {
    "test_failure_after_the_headers_leaves_the_response_incomplete": _DAPHNE_STAYS_OPEN,
    "test_exc_info_after_the_headers_is_raised_and_cuts_the_response": _DAPHNE_STAYS_OPEN,
    "test_failures_are_answered_after_a_response_broke_off": _DAPHNE_CHECKER_DIES,
    "test_application_waits_for_a_client_that_reads_nothing": _DAPHNE_NEVER_WAITS,
}
_HYPERCORN_H2 = {
    "test_failure_after_the_headers_leaves_the_response_incomplete": _HYPERCORN_NO_RESET,
    "test_exc_info_after_the_headers_is_raised_and_cuts_the_response": _HYPERCORN_NO_RESET,
}
_HYPERCORN = {"test_body_that_goes_on_after_the_response_harms_no_other_stream": _HYPERCORN_LATE_DATA}

KNOWN: dict[tuple[str, str, str | None], Known] = {
    (test, name, version): known
    for names, version, table in (
        (("daphne",), "1.1", _DAPHNE),
        (_HYPERCORNS, "2", _HYPERCORN_H2),
        (_HYPERCORNS, None, _HYPERCORN),
    )
    for name in names
    for test, known in table.items()
}
"""By test, name of the recipe and HTTP version; None for a test that does not run once a version."""
