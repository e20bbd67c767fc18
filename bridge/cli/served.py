"""What the servers of ``bridge serve`` import: ``app`` is the application to serve, or all of them behind one."""

from __future__ import annotations

from bridge.cli.composition import compose, load_part
from bridge.cli.handover import described
from bridge.errors import LoadError


def _build() -> object:
    description = described()
    try:
        parts = [load_part(prefix, target) for prefix, target in description.targets]
    except LoadError as error:
        # It could be loaded when the server was started, so it has been edited since. Gunicorn's reloader waits for the
        # correction of a SyntaxError, if it sees that it is one.
        raise error.__cause__ or error from None
    return compose(parts, description.interface, description.threads)


app = _build()
