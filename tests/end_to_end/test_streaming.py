"""Responses that take their time: chunks arrive when they are made, no faster than they are taken."""

from pathlib import Path

import httpx
import pytest

from compat_matrix.client import RawClient
from compat_matrix.servers import RunningServer
from compat_matrix.wire import Wire

CHUNK = 65_536  # bytes, of /counted
CHUNKS = 256

# What may lie between an application and a client that reads nothing, in bytes: response_buffer and the
# chunk that overran it; the same once more in the server; the kernel's two socket buffers (Linux lets the
# sender's grow up to the last figure of tcp_wmem); in Granian, a queue of messages too.
MESSAGE = 65_536 + CHUNK
_TCP_WMEM = Path("/proc/sys/net/ipv4/tcp_wmem")
KERNEL = int(_TCP_WMEM.read_text().split()[2]) if _TCP_WMEM.exists() else 4_194_304


@pytest.mark.parametrize("target", ["/streams", "/streams-by-write"])
def test_first_chunk_arrives_before_the_second_is_made(client: httpx.Client, wire: Wire, target: str) -> None:
    """PEP 3333 "Buffering and Streaming": no chunk is held back. Other exchanges run meanwhile."""
    with client.stream("GET", f"{target}?wire={wire.port}") as response:
        chunks = response.iter_raw()

        assert next(chunks) == b"first "
        assert wire.hear() == "first chunk taken"
        assert client.get("/hello").content == b"hello"
        wire.tell("go on")
        assert b"".join(chunks) == b"second"


def test_application_waits_for_a_client_that_reads_nothing(
    client: httpx.Client, wire: Wire, server: RunningServer
) -> None:
    """Backpressure: at most the buffers on the way are filled, then the worker thread waits."""
    bound = (2 + server.recipe.messages_ahead) * MESSAGE + KERNEL + 4 * 32_768
    assert 1.5 * bound < CHUNK * CHUNKS  # else the end of the body would look like backpressure
    with client.stream("GET", f"/counted?chunks={CHUNKS}&wire={wire.port}") as response:
        # Give a bridge without backpressure room to run ahead: other exchanges on the same event
        # loop take their turns while nobody reads this response.
        with RawClient(server.host, server.port) as other:
            for _ in range(100):
                other.get("/hello")
                other.read_response()
        produced = int(wire.heard_so_far()[-1])

        assert produced <= bound
        assert sum(len(chunk) for chunk in response.iter_raw()) == CHUNK * CHUNKS


def test_iterable_is_closed_when_the_client_leaves(client: httpx.Client, wire: Wire) -> None:
    """PEP 3333: close() is called on every way out, once; here in the thread that iterated."""
    with client.stream("GET", f"/endless?wire={wire.port}") as response:
        assert next(response.iter_raw()) == b"first"
        client.close()
        wire.tell("client left")

        assert wire.hear() == "close 1, same thread"


def test_generator_gets_generator_exit_when_the_client_leaves(client: httpx.Client, wire: Wire) -> None:
    """What close() does to a generator: its ``finally`` and ``with`` blocks run."""
    with client.stream("GET", f"/endless-generator?wire={wire.port}") as response:
        assert next(response.iter_raw()) == b"first"
        client.close()
        wire.tell("client left")

        assert wire.hear() == "GeneratorExit"


def test_write_raises_when_the_client_has_left(client: httpx.Client, wire: Wire) -> None:
    """Nothing else could tell an application that only writes."""
    with client.stream("GET", f"/endless-by-write?wire={wire.port}") as response:
        assert next(response.iter_raw()) == b"first"
        client.close()
        wire.tell("client left")

        assert wire.hear() == "ClientDisconnected"


@pytest.mark.where(streams_body=True)
def test_upload_that_is_cut_off_never_reads_as_a_complete_body(raw: RawClient, wire: Wire) -> None:
    """RFC 9112, 8: a message that ends early is incomplete, and must be treated as such."""
    head = f"POST /upload?wire={wire.port} HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n"
    raw.send(head.encode() + b"x" * 200_000)

    assert wire.hear() == "first 1"
    raw.socket.close()
    assert wire.hear() == "ClientDisconnected, an OSError: True"
