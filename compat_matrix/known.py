"""What fails although the bridge is not at fault, each with the reason and a public issue or the source that shows it.

An entry is strict: the matrix fails when the check passes there.
"""

from __future__ import annotations

from dataclasses import dataclass

from compat_matrix.model import Place


@dataclass(frozen=True)
class Known:
    """A check that cannot pass in some places. ``"*"`` stands for any."""

    check: str
    reason: str
    app: str = "*"
    server: str = "*"
    adapter: str = "bridge"

    def applies(self, check: str, place: Place) -> bool:
        """Whether the entry is about this check in this place."""
        return self.check == check and all(
            mine in ("*", theirs)
            for mine, theirs in ((self.app, place.app), (self.server, place.server), (self.adapter, place.adapter))
        )


# Of http.upload.cut with a Content-Length, granian's wsgi.input ends short, and bridge counts.
_GRANIAN_CUT = "granian ends a chunked body that was cut like a complete one: read() gives b'', and nothing says more"

# Twisted's wsgi.input ends where the body does, but only its class says so, and the validators stand before it.
_TWISTED_HIDDEN = "nothing in Twisted's environ but the class of wsgi.input says that it ends, and validators hide that"

# litestar/logging/standard.py, QueueListenerHandler; uWSGI forks after the import, and a thread is left behind by that.
_LITESTAR_THREAD = "Litestar logs through a thread that it starts at import, before uWSGI forks"

# twisted/web/wsgi.py, _WSGIResponse.run(), logs a Failure; granian formats the exception itself.
_WITHOUT_CAUSE = "the server logs an exception without its cause, and Litestar raises one of its own from it"

KNOWN: tuple[Known, ...] = (
    Known("http.failure.logged", _LITESTAR_THREAD, app="litestar", server="uwsgi"),
    Known("http.failure.logged", _LITESTAR_THREAD, app="litestar", server="uwsgi-processes"),
    Known("http.response.truncated.logged", _WITHOUT_CAUSE, app="litestar", server="granian-wsgi"),
    Known("http.response.truncated.logged", _WITHOUT_CAUSE, app="litestar", server="twisted"),
    Known("websocket.failure.logged", _LITESTAR_THREAD, app="litestar", server="uwsgi"),
    Known("websocket.failure.logged", _LITESTAR_THREAD, app="litestar", server="uwsgi-processes"),
    Known("validators.chunked", _TWISTED_HIDDEN, server="twisted"),
    Known("http.upload.cut.chunked", _GRANIAN_CUT, server="granian-wsgi"),
    Known("http.upload.cut.in_chunk", _GRANIAN_CUT, server="granian-wsgi"),
)


def find(check: str, place: Place) -> Known | None:
    """Return the entry for a check in a place; None if it has to pass there."""
    return next((known for known in KNOWN if known.applies(check, place)), None)
