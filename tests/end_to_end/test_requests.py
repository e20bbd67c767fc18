"""What an application learns about a request, whichever server it came through."""

import hashlib
from collections.abc import Iterator

import httpx
import pytest

from compat_matrix.client import RawClient
from compat_matrix.h2_client import H2Client
from compat_matrix.servers import RunningServer
from compat_matrix.wire import Wire


def test_query_string_arrives_undecoded(client: httpx.Client) -> None:
    """PEP 3333 "environ Variables": QUERY_STRING is the part after "?", as it was sent."""
    environ = client.get("/report?a=1&b=caf%C3%A9&b=2").json()

    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["QUERY_STRING"] == "a=1&b=caf%C3%A9&b=2"


def test_query_string_is_there_when_there_is_none(client: httpx.Client) -> None:
    """PEP 3333: QUERY_STRING may be empty or absent; wsgiref and every peer give ""."""
    assert client.get("/report").json()["QUERY_STRING"] == ""


@pytest.mark.parametrize(
    ("target", "path_info"),
    [
        pytest.param("/caf%C3%A9", "/caf\xc3\xa9", id="UTF-8"),
        pytest.param("/%FF%FE/%80", "/\xff\xfe/\x80", id="not UTF-8"),
        pytest.param("/a%2Fb%3Fc", "/a/b?c", id="encoded delimiters"),
        pytest.param("/100%25%20sure", "/100% sure", id="encoded percent and space"),
        pytest.param("/a+b;c=d", "/a+b;c=d", id="plus is not a space in a path"),
    ],
)
def test_path_is_decoded_to_one_character_a_byte(client: httpx.Client, target: str, path_info: str) -> None:
    """PEP 3333 "Unicode Issues": native strings, code points 0-255, nothing lost."""
    environ = client.get(target).json()

    assert environ["PATH_INFO"] == path_info
    assert environ["SCRIPT_NAME"] == ""


@pytest.mark.parametrize(
    ("target", "path_info"),
    [
        pytest.param("//two//slashes/", "//two//slashes/", id="double slashes"),
        pytest.param("/a/../b/./c", "/a/../b/./c", id="dot segments"),
        pytest.param("/%C3%A9%2f?x=%2F", "/\xc3\xa9/", id="lower-case escape"),
        pytest.param("/?", "/", id="empty query"),
    ],
)
def test_path_is_not_normalised(raw: RawClient, target: str, path_info: str) -> None:
    """An application's own rules decide what these paths mean, as under any WSGI server."""
    raw.get(target)
    environ = raw.read_response().json()

    assert environ["PATH_INFO"] == path_info


@pytest.mark.parametrize("target", ["/caf%C3%A9%2Fs?x=%2F&y=+", "/%ff", "/plain"])
def test_request_uri_is_the_target_as_it_was_sent(raw: RawClient, target: str) -> None:
    """REQUEST_URI and RAW_URI, the names that servers and frameworks agree on, keep every escape."""
    raw.get(target)
    environ = raw.read_response().json()

    assert (environ["REQUEST_URI"], environ["RAW_URI"]) == (target, target)


def test_mount_of_the_server_is_in_script_name(mounted_server: RunningServer) -> None:
    """PEP 3333: SCRIPT_NAME and PATH_INFO make the path. Uvicorn puts the mount in ``path``, no other does."""
    environs = []
    for target in ("/%FFage?x=1", "/"):
        with RawClient(mounted_server.host, mounted_server.port) as raw:
            raw.get(target)
            environs.append(raw.read_response().json())

    assert [environ["SCRIPT_NAME"] for environ in environs] == ["/mounted", "/mounted"]
    assert [environ["PATH_INFO"] for environ in environs] == ["/\xffage", "/"]


def test_repeated_headers_are_joined_with_a_comma(client: httpx.Client) -> None:
    """RFC 9110, 5.3: the field value is the list of its lines, in order."""
    environ = client.get("/report", headers=[("X-Dup", "1"), ("X-Other", "a, b"), ("X-Dup", "2")]).json()

    assert environ["HTTP_X_DUP"].replace(" ", "") == "1,2"
    assert environ["HTTP_X_OTHER"] == "a, b"


def test_repeated_cookies_are_joined_with_a_semicolon(client: httpx.Client) -> None:
    """RFC 9113, 8.2.3: a comma would become part of the first cookie's value."""
    environ = client.get("/report", headers=[("Cookie", "a=1"), ("Cookie", "b=2")]).json()

    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_header_values_keep_their_bytes(raw: RawClient) -> None:
    """RFC 9110, 5.5 allows obs-text; PEP 3333 wants it as latin-1."""
    raw.get("/report", "X-Bytes: caf\xe9 \xff", "X-Empty:")
    environ = raw.read_response().json()

    assert (environ["HTTP_X_BYTES"], environ["HTTP_X_EMPTY"]) == ("caf\xe9 \xff", "")


@pytest.mark.parametrize("order", [("X_Foo", "X-Foo"), ("X-Foo", "X_Foo")], ids=["before", "after"])
def test_underscore_cannot_forge_another_header(raw: RawClient, order: tuple[str, str]) -> None:
    """Both names map to HTTP_X_FOO; only the one that a proxy can have checked is kept."""
    values = {"X_Foo": "evil", "X-Foo": "good"}
    raw.get("/report", *(f"{name}: {values[name]}" for name in order))
    environ = raw.read_response().json()

    assert environ["HTTP_X_FOO"] == "good"


def test_underscore_cannot_forge_content_length_or_type(raw: RawClient) -> None:
    """Content_Length would make an application read a body that the server never framed."""
    raw.get("/report", "Content_Length: 7", "Content_Type: evil/type")
    environ = raw.read_response().json()

    assert environ.get("CONTENT_LENGTH", "") in ("", "0")
    assert environ.get("CONTENT_TYPE", "") == ""
    assert "HTTP_CONTENT_LENGTH" not in environ
    assert "HTTP_CONTENT_TYPE" not in environ


def test_proxy_header_does_not_become_http_proxy(client: httpx.Client) -> None:
    """httpoxy, CVE-2016-5385: HTTP clients in the application would use it as their proxy."""
    assert "HTTP_PROXY" not in client.get("/report", headers={"Proxy": "http://evil"}).json()


def test_addresses_are_strings(raw: RawClient, server: RunningServer) -> None:
    """PEP 3333: CGI variables are native strings, ports too."""
    raw.get("/report")
    environ = raw.read_response().json()

    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("127.0.0.1", str(raw.port))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(server.port))


def test_every_variable_of_pep_3333_is_there(client: httpx.Client, http_version: str) -> None:
    """PEP 3333 "environ Variables"; RFC 3875, 4.1.16: a protocol version has two numbers."""
    environ = client.get("/report").json()

    assert environ["HTTP_HOST"] == f"{client.base_url.host}:{client.base_url.port}"
    assert environ["SERVER_PROTOCOL"] == {"1.1": "HTTP/1.1", "2": "HTTP/2.0"}[http_version]
    assert environ["wsgi.version"] == [1, 0]
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536, 65_537, 200_000])
def test_body_with_a_length_arrives_whole(client: httpx.Client, size: int) -> None:
    """Either side of request_buffer (65536 bytes)."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    assert client.post("/echo", content=body).content == body


def test_large_body_arrives_unchanged(client: httpx.Client) -> None:
    """5 MiB, many times any buffer on the way."""
    body = bytes(range(256)) * 20_480
    facts = client.post("/digest", content=body).json()

    assert facts == {
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_TRANSFER_ENCODING": None,
    }


@pytest.mark.parametrize("pieces", [0, 1, 3, 40], ids=["empty", "one", "three", "3 MB"])
def test_body_of_unknown_length_gets_a_length(client: httpx.Client, pieces: int) -> None:
    """Chunked, or HTTP/2 without content-length: what most frameworks read only with CONTENT_LENGTH."""
    piece = bytes(range(256)) * 293

    def body() -> Iterator[bytes]:
        for _ in range(pieces):
            yield piece

    facts = client.post("/digest", content=body()).json()

    assert facts["sha256"] == hashlib.sha256(piece * pieces).hexdigest()
    assert facts["HTTP_TRANSFER_ENCODING"] is None
    # PEP 3333: CONTENT_LENGTH may be absent for an empty body.
    assert int(facts["CONTENT_LENGTH"] or 0) == facts["length"] == pieces * len(piece)


def test_body_can_be_read_line_by_line(client: httpx.Client) -> None:
    """PEP 3333 "Input and Error Streams": readline, readlines with a hint, iteration."""
    body = b"one\ntwo\nthree\nlast"

    assert client.post("/lines", content=body).json() == ["one\n", "two\n", "three\n", "last"]


@pytest.mark.where(streams_body=True)
def test_response_does_not_wait_for_the_rest_of_the_body(raw: RawClient) -> None:
    """RFC 9112, 9.3 leaves it to the server what becomes of the connection then."""
    head = "POST /refuses-body HTTP/1.1\r\nHost: test\r\nContent-Length: 300000\r\n\r\n"
    raw.send(head.encode() + b"x" * 1000)
    response = raw.read_response()

    assert (response.status, response.body, response.complete) == (403, b"refused", True)


def answer(h2: H2Client, stream: int) -> tuple[int, bytes]:
    """Return status and body of a response once it is complete."""
    response = h2.read_response(stream)
    return response.status, response.body


@pytest.mark.where(http2=True)
def test_body_that_goes_on_after_the_response_harms_no_other_stream(own_server: RunningServer, timeout: float) -> None:
    """RFC 9113, 8.1: a server may answer before the body has ended; the connection goes on."""
    with H2Client(own_server.host, own_server.port, timeout) as h2:
        refused = h2.request("POST", "/refuses-body", length=300_000)
        assert answer(h2, refused) == (403, b"refused")
        h2.send(refused, b"x" * 1000, ended=False)

        assert answer(h2, h2.request("GET", "/hello")) == (200, b"hello")


@pytest.mark.where(http2=True)
def test_empty_body_that_ends_in_a_frame_of_its_own_harms_no_other_stream(server: RunningServer) -> None:
    """What httpx does with an empty POST: content-length 0, and END_STREAM in a later DATA frame."""
    with H2Client(server.host, server.port) as h2:
        empty = h2.request("POST", "/echo", length=0)
        assert answer(h2, h2.request("GET", "/hello")) == (200, b"hello")
        h2.send(empty, b"", ended=True)

        assert answer(h2, empty) == (200, b"")
        assert answer(h2, h2.request("GET", "/hello")) == (200, b"hello")


def test_body_can_follow_a_100_continue(raw: RawClient) -> None:
    """RFC 9110, 10.1.1: a client that waits for 100 is asked for its body, and it arrives."""
    raw.send(_expecting("/echo"))

    assert raw.read_response().status == 100
    raw.send(b"hello")
    assert raw.read_response().body == b"hello"


@pytest.mark.where(lazy_continue=True)
def test_client_is_asked_to_continue_when_the_application_reads(raw: RawClient, wire: Wire) -> None:
    """RFC 9110, 10.1.1: the application may refuse a body before it is on its way."""
    raw.send(_expecting(f"/asked-for?wire={wire.port}"))

    assert wire.hear() == "called"
    assert raw.nothing_came()
    wire.tell("read")
    assert raw.read_response().status == 100
    raw.send(b"hello")
    assert raw.read_response().body == b"hello"


@pytest.mark.where(lazy_continue=True)
def test_client_is_not_asked_for_a_body_that_nobody_reads(raw: RawClient) -> None:
    """RFC 9110, 10.1.1: a final status instead of 100 tells the client to keep its body."""
    raw.send(_expecting("/refuses-body"))

    response = raw.read_response()
    assert (response.status, response.body) == (403, b"refused")


def test_wsgi_validator_accepts_the_environ_and_the_input(client: httpx.Client) -> None:
    """wsgiref.validate stands between bridge and application and finds nothing."""
    assert client.get("/validated/report?x=1").json()["SCRIPT_NAME"] == "/validated"
    assert client.post("/validated/echo", content=b"hello").content == b"hello"
    assert client.post("/validated/echo", content=iter([b"hel", b"lo"])).content == b"hello"
    assert client.get("/validated/late-start").content == b"hello world"
    assert client.get("/validated/writes").content == b"one two three four"
    assert client.get("/validated/replaced").content == b"replaced"
    assert client.get("/validated/no-content").status_code == 204


def test_flask_sees_path_query_form_and_files(client: httpx.Client) -> None:
    """The same request through a framework, mounted below /flask."""
    page = client.get("/flask/page/caf%C3%A9?x=%26").json()
    form = client.post("/flask/form", data={"field": "caf\xe9"}, files={"upload": b"x" * 100_000}).json()

    assert page == {"name": "caf\xe9", "argument": "&", "root": "/flask"}
    assert form == {"field": "caf\xe9", "sha256": hashlib.sha256(b"x" * 100_000).hexdigest()}


def _expecting(target: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: test", "Content-Length: 5", "Expect: 100-continue", "", ""]
    return "\r\n".join(lines).encode()
