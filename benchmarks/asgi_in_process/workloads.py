"""Which ASGI application each of these scenarios calls, and how hard. Knows no contestant."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.applications import CHUNK, CHUNKS, HELLO, hello_asgi, hundred_chunks_asgi
from benchmarks.asgi_in_process.driver import Load
from benchmarks.protocols import AsgiApplication


@dataclass(frozen=True)
class Workload:
    """An application and the load on it."""

    application: AsgiApplication
    load: Load


WORKLOADS: dict[str, Workload] = {
    "asgi_in_process": Workload(hello_asgi, Load(1, len(HELLO))),
    "asgi_in_process_threads": Workload(hello_asgi, Load(16, len(HELLO))),
    "asgi_streaming": Workload(hundred_chunks_asgi, Load(1, CHUNKS * len(CHUNK))),
}
