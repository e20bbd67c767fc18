"""SIGTERM: servers end, and what runs may finish where the server lets it."""

import pytest

from compat_matrix.client import RawClient
from compat_matrix.servers import RunningServer
from compat_matrix.wire import Wire


@pytest.mark.where(graceful_stop=True)
def test_exchange_that_runs_may_finish(own_server: RunningServer, wire: Wire) -> None:
    """The response that was begun before SIGTERM is complete, then the server ends."""
    with (
        RawClient(own_server.host, own_server.port) as raw,
        RawClient(own_server.host, own_server.port) as idle,
    ):
        idle.get("/hello")
        idle.read_response()
        raw.get(f"/streams?wire={wire.port}")
        assert wire.hear() == "first chunk taken"
        own_server.terminate()
        assert idle.ended()  # closing idle connections is the first thing a server does
        wire.tell("go on")
        response = raw.read_response()

    assert (response.body, response.complete) == (b"first second", True)
    own_server.stop()
    assert not own_server.killed  # no worker thread keeps the process alive
    assert "Traceback" not in own_server.log()


@pytest.mark.where(graceful_stop=False)
def test_exchange_that_may_not_finish_is_closed(own_server: RunningServer, wire: Wire) -> None:
    """The server cancels what runs: the application's iterable is closed, and the server ends."""
    with RawClient(own_server.host, own_server.port) as raw:
        raw.get(f"/endless?wire={wire.port}")
        raw.read_until(b"first")
        own_server.terminate()
        wire.tell("client left")

        assert wire.hear() == "close 1, same thread"
    own_server.stop()
    assert not own_server.killed
