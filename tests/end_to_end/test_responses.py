"""What a client gets for what an application returns, whichever server it goes through."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from compat_matrix.client import RawClient
from compat_matrix.servers import RunningServer


def test_status_headers_and_body_arrive(client: httpx.Client) -> None:
    response = client.get("/hello")

    assert (response.status_code, response.content) == (200, b"hello")
    assert response.headers["content-type"] == "text/plain"
    assert response.headers.get_list("content-length") == ["5"]


def test_repeated_response_headers_stay_apart(client: httpx.Client) -> None:
    """RFC 6265, 3: Set-Cookie lines must not be folded into one. Values are latin-1 (PEP 3333)."""
    response = client.get("/repeated-headers")

    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert (b"x-latin", b"caf\xe9") in [(name.lower(), value) for name, value in response.headers.raw]


def test_length_of_a_known_body_is_added(client: httpx.Client) -> None:
    """PEP 3333 "Handling the Content-Length Header": one chunk is the whole body."""
    response = client.get("/known")

    assert response.content == b"hello"
    assert response.headers.get_list("content-length") == ["5"]
    assert "transfer-encoding" not in response.headers


def test_empty_body_still_has_status_and_headers(client: httpx.Client) -> None:
    """PEP 3333: headers leave with the first chunk, or at the end if there is none."""
    response = client.get("/empty")

    assert (response.status_code, response.headers["x-seen"], response.content) == (200, "yes", b"")


def test_start_response_may_be_called_by_the_iterable(client: httpx.Client) -> None:
    """PEP 3333: not before the first non-empty chunk is needed."""
    response = client.get("/late-start")

    assert (response.status_code, response.content) == (202, b"hello world")


def test_written_chunks_come_before_the_iterable(client: httpx.Client) -> None:
    """PEP 3333 "The write() Callable"."""
    assert client.get("/writes").content == b"one two three four"


def test_second_start_response_with_exc_info_replaces_the_first(client: httpx.Client) -> None:
    """PEP 3333 "The start_response() Callable": as long as nothing was sent."""
    response = client.get("/replaced")

    assert (response.status_code, response.content) == (404, b"replaced")
    assert "x-first" not in response.headers


def test_file_wrapper_sends_the_file(client: httpx.Client, tmp_path: Path) -> None:
    """PEP 3333 "Optional Platform-Specific File Handling"."""
    content = bytes(range(256)) * 12_000
    (tmp_path / "file").write_bytes(content)
    response = client.get("/file", params={"path": str(tmp_path / "file")})

    assert hashlib.sha256(response.content).digest() == hashlib.sha256(content).digest()


def test_head_has_the_headers_of_get_and_no_body(raw: RawClient) -> None:
    """RFC 9110, 9.3.2. The second response shows that not a byte of a body was sent."""
    for target in ("/hello", "/late-start"):
        raw.send(f"HEAD {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        head = raw.read_response("HEAD")
        raw.get("/hello")

        assert head.all("content-type") == ["text/plain"]
        assert head.all("content-length") == (["5"] if target == "/hello" else [])
        assert raw.read_response().body == b"hello"


@pytest.mark.parametrize(
    ("target", "status", "header"),
    [
        pytest.param("/no-content", 204, ("x-seen", "yes"), id="204"),
        pytest.param("/not-modified", 304, ("etag", '"1"'), id="304"),
    ],
)
def test_status_without_content_is_only_a_header_section(
    raw: RawClient, target: str, status: int, header: tuple[str, str]
) -> None:
    """RFC 9112, 6.3: it ends with the empty line. The second response shows that nothing followed."""
    raw.get(target)
    response = raw.read_response()
    raw.get("/hello")

    assert response.status == status
    assert header in response.headers
    assert response.all("content-length") == []  # RFC 9110, 8.6; for 304 it would have to be that of GET
    assert raw.read_response().body == b"hello"


@pytest.mark.parametrize("target", ["/too-long", "/too-long-in-pieces"])
def test_nothing_is_sent_beyond_the_declared_length(raw: RawClient, target: str) -> None:
    """PEP 3333 "Handling the Content-Length Header". The rest would be read as the next response."""
    raw.get(target)
    response = raw.read_response()
    raw.get("/hello")

    assert (response.all("content-length"), response.body) == (["5"], b"hello")
    assert raw.read_response().status == 200


def test_one_connection_serves_many_exchanges(raw: RawClient) -> None:
    """Each kind of body ends where the next response begins."""
    bodies = []
    for target in ("/hello", "/known", "/late-start", "/empty", "/writes", "/hello"):
        raw.get(target)
        bodies.append(raw.read_response().body)

    assert bodies == [b"hello", b"hello", b"hello world", b"", b"one two three four", b"hello"]


def test_request_sent_during_a_response_is_answered_after_it(raw: RawClient) -> None:
    """RFC 9112, 9.3.2 "Pipelining": responses come in the order of the requests."""
    for target in ("/late-start", "/hello", "/writes"):
        raw.get(target)

    assert [raw.read_response().body for _ in range(3)] == [b"hello world", b"hello", b"one two three four"]


def test_eight_exchanges_run_at_the_same_time(server: RunningServer) -> None:
    """Each application waits until eight of them run."""

    def exchange(_: int) -> bytes:
        with RawClient(server.host, server.port) as raw:
            raw.get("/meets")
            return raw.read_response().body

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(exchange, range(8))) == [b"met"] * 8
