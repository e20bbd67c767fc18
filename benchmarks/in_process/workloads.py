"""Which application each in-process scenario calls, and how hard. Knows no contestant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import applications
from benchmarks.in_process.driver import Load
from benchmarks.protocols import WsgiApplication


@dataclass(frozen=True)
class Workload:
    """An application and the load on it.

    Attributes:
        application: returns the application; called in the measuring process only, so that a
            missing framework fails one scenario and not the whole run.
    """

    application: Callable[[], WsgiApplication]
    load: Load


def _flask() -> WsgiApplication:
    from benchmarks.flask_application import application

    return application


WORKLOADS: dict[str, Workload] = {
    "in_process": Workload(lambda: applications.hello, Load("/", 32, len(applications.HELLO))),
    "in_process_sequential": Workload(lambda: applications.hello, Load("/", 1, len(applications.HELLO))),
    "streaming": Workload(
        lambda: applications.hundred_chunks, Load("/", 8, applications.CHUNKS * len(applications.CHUNK))
    ),
    "flask_async_view": Workload(_flask, Load("/async", 32, len(applications.HELLO))),
}
