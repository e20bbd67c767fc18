"""What the two applications without a framework have in common: the raw endpoints' answers. Knows neither interface."""

from __future__ import annotations

import gzip
from typing import Final

TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")
JSON: Final = ("Content-Type", "application/json")

# "/headers/odd". Values are latin-1; a server or an adapter has no reason to touch one of them.
ODD_STATUS: Final = 401
ODD_BODY: Final = gzip.compress(b"odd\n", mtime=0)
ODD_HEADERS: Final = (
    TEXT,
    ("Content-Length", str(len(ODD_BODY))),
    ("Content-Encoding", "gzip"),
    ("WWW-Authenticate", 'Basic realm="a, b"'),
    ("WWW-Authenticate", 'Bearer scope="x y", error="z"'),
    ("Retry-After", "120"),
    ("Vary", "Accept, Cookie"),
    ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("Content-Disposition", "attachment; filename*=UTF-8''caf%C3%A9"),
    ("Link", "</a>; rel=preload"),
    ("Link", "</b>; rel=preload"),
    ("X_Under_Score", "yes"),
)
LATIN1: Final = "caf\xe9 \xff."

CHUNKS: Final = (b"", b"one ", b"", b"", b"two ", b"", b"three", b"")
"""The body of ``/chunks``."""
