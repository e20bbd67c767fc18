"""Applications that fail: the client gets a 500 or an incomplete response, never a wrong complete one."""

import httpx
import pytest

from compat_matrix.client import RawClient
from compat_matrix.wire import Wire


@pytest.mark.parametrize(
    "target",
    [
        "/fails-at-once",
        "/fails-after-start-response",
        "/fails-in-iteration",
        "/exits",
        "/interrupts",
        "/flask/fails",
    ],
)
def test_failure_before_the_headers_is_a_500(client: httpx.Client, target: str) -> None:
    """Nothing was sent, so the status can still say it. The server goes on, even after SystemExit."""
    assert client.get(target).status_code == 500
    assert client.get("/hello").content == b"hello"


@pytest.mark.parametrize("target", ["/breaks-off", "/breaks-off-with-length", "/ends-early"])
def test_failure_after_the_headers_leaves_the_response_incomplete(
    cut_client: httpx.Client, wire: Wire, target: str
) -> None:
    """RFC 9112, 8 and RFC 9113, 8.1: the client can tell, since the body never ended."""
    with cut_client.stream("GET", f"{target}?wire={wire.port}") as response:
        chunks = response.iter_raw()

        assert (response.status_code, next(chunks)) == (200, b"first")
        wire.tell("fail")
        with pytest.raises(httpx.RemoteProtocolError):
            b"".join(chunks)


def test_exc_info_after_the_headers_is_raised_and_cuts_the_response(cut_client: httpx.Client, wire: Wire) -> None:
    """PEP 3333 "The start_response() Callable": once headers are sent it must raise exc_info."""
    with cut_client.stream("GET", f"/breaks-off-with-exc-info?wire={wire.port}") as response:
        chunks = response.iter_raw()

        assert next(chunks) == b"first"
        wire.tell("fail")
        assert wire.hear() == "raised"
        with pytest.raises(httpx.RemoteProtocolError):
            b"".join(chunks)


def test_body_shorter_than_its_length_is_never_a_complete_response(client: httpx.Client) -> None:
    """RFC 9112, 8: it ends before the declared length. A 500 is as good while nothing was sent."""
    with client.stream("GET", "/too-short") as response:
        if response.status_code == 200:
            with pytest.raises(httpx.RemoteProtocolError):
                response.read()
        else:
            assert response.status_code == 500


def test_failures_are_answered_after_a_response_broke_off(
    cut_client: httpx.Client, cut_raw: RawClient, wire: Wire
) -> None:
    """One broken response is no reason for the next failure to go unanswered."""
    with cut_client.stream("GET", f"/breaks-off?wire={wire.port}") as response:
        assert next(response.iter_raw()) == b"first"
        wire.tell("fail")
        cut_client.close()
    cut_raw.get("/fails-at-once")

    assert cut_raw.read_response().status == 500
