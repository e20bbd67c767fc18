"""What an application learns about a request and its body, whichever server it came through."""

import hashlib
import json
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from compat_matrix.client import RawClient
from compat_matrix.wire import Wire

from .client import Client

BODY = bytes(range(256)) * 20_480  # 5 MiB


def sent(client: Client, target: str, *header_lines: str) -> dict[str, list[str]]:
    """Return the values of each request header that the application got."""
    values: dict[str, list[str]] = {}
    for name, value in client.get(target, *header_lines).json()["headers"]:
        values.setdefault(name, []).append(value)
    return values


def test_scope_says_what_was_asked_for(plain_client: Client) -> None:
    """ASGI HTTP specification, "HTTP Connection Scope": ports are integers, the query string is undecoded bytes."""
    scope = plain_client.get("/report?a=1&b=caf%C3%A9&b=2").json()

    assert (scope["type"], scope["method"], scope["scheme"]) == ("http", "GET", "http")
    assert scope["http_version"] in ("1.0", "1.1")
    assert (scope["path"], scope["root_path"]) == ("/report", "")
    assert scope["query_string"] == "a=1&b=caf%C3%A9&b=2"
    assert scope["server"][1] == plain_client.server.port
    assert scope["client"][0] == "127.0.0.1"
    assert isinstance(scope["client"][1], int)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param("/caf%C3%A9", "/caf\xe9", id="UTF-8"),
        pytest.param("/%C3%A9/a%3Fb%23c", "/\xe9/a?b#c", id="encoded delimiters"),
        pytest.param("/%FF/%80", "/\ufffd/\ufffd", id="not UTF-8"),
        pytest.param("/100%25%20sure+;c=d", "/100% sure+;c=d", id="percent, space, plus"),
    ],
)
def test_path_is_decoded_and_raw_path_is_not(plain_client: Client, target: str, path: str) -> None:
    """raw_path is as it was sent where the server keeps that, and the same bytes in any case."""
    check_path(plain_client, target, path)


def test_path_with_encoded_slash_is_decoded(plain_client: Client) -> None:
    """As the ASGI specification has it; raw_path tells the two slashes apart, where the server keeps it."""
    check_path(plain_client, "/a%2fb/c", "/a/b/c")


def check_path(plain_client: Client, target: str, path: str) -> None:
    scope = plain_client.get(f"{target}?x=%2F").json()

    assert scope["path"] == path
    assert unquote_to_bytes(scope["raw_path"]) == unquote_to_bytes(target)
    if plain_client.server.recipe.raw_target is not None:
        assert scope["raw_path"] == target


def test_mount_is_in_root_path_and_in_path(client: Client) -> None:
    """ASGI HTTP specification: ``path`` is the whole path, ``root_path`` the part that the mount took."""
    scope = client.get("/caf%C3%A9").json()

    assert scope["root_path"] == client.mount
    assert scope["path"] == f"{client.mount}/caf\xe9"
    assert scope["raw_path"] == f"{client.mount}/caf%C3%A9"


def test_headers_arrive_in_lower_case(plain_client: Client) -> None:
    """A cookie header is one header, whatever is in it."""
    headers = sent(plain_client, "/report", "X-Mixed-Case: Value", "Cookie: a=1; b=2")

    assert headers["x-mixed-case"] == ["Value"]
    assert headers["cookie"] == ["a=1; b=2"]
    assert headers["host"] == ["test"]


def test_repeated_headers_keep_each_value_and_their_order(plain_client: Client) -> None:
    """RFC 9110, 5.3: a server may join them by commas, nothing else."""
    values = ",".join(sent(plain_client, "/report", "X-Many: 1", "X-Many: 2")["x-many"])

    assert [value.strip() for value in values.split(",")] == ["1", "2"]


def test_header_values_are_bytes(plain_client: Client) -> None:
    """RFC 9110, 5.5: values may hold any octet from 0x80 on."""
    assert sent(plain_client, "/report", "X-Latin: caf\xe9")["x-latin"] == ["caf\xe9"]


def test_request_without_a_body_has_no_headers_about_one(plain_client: Client) -> None:
    """PEP 3333: CONTENT_TYPE and CONTENT_LENGTH may be empty where ASGI has no header at all."""
    headers = sent(plain_client, "/report")

    assert "content-length" not in headers
    assert "content-type" not in headers


def test_upload_arrives_as_it_was_sent(client: Client) -> None:
    """5 MiB, which nothing on the way takes in at once."""
    facts = client.post("/digest", BODY).json()

    assert facts == {"length": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest(), "complete": True}


def test_empty_upload_is_complete(client: Client) -> None:
    """Content-Length: 0, and then nothing."""
    assert client.post("/digest", b"").json()["complete"] is True


def chunked(*chunks: bytes) -> bytes:
    """Frame *chunks* as RFC 9112, 7.1, has it, without the last one."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


def test_chunked_upload_ends_where_the_server_says(client: Client) -> None:
    """No length is declared, so only the server knows; some say it in their own way."""
    with client.connect() as connection:
        connection.send(client.head("POST", "/digest", "Transfer-Encoding: chunked"))
        connection.send(chunked(b"hello", b" ", b"world" * 40_000) + b"0\r\n\r\n")
        facts = connection.read_response().json()

    body = b"hello " + b"world" * 40_000
    assert facts == {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "complete": True}


def test_environ_is_as_the_recipe_says(plain_client: Client) -> None:
    """What the bridge has to go by; a server that changes it is noticed here."""
    recipe = plain_client.server.recipe
    with plain_client.connect() as connection:
        connection.send(plain_client.head("POST", "/environ", "Transfer-Encoding: chunked"))
        connection.send(chunked(b"hello") + b"0\r\n\r\n")
        environ = connection.read_response().json()

    assert bool(environ.get("wsgi.input_terminated")) is (recipe.chunked_input in ("terminated", "converted"))
    assert bool(environ.get("CONTENT_LENGTH")) is (recipe.chunked_input == "converted")
    keys = ("RAW_URI", "REQUEST_URI", "RAW_PATH_INFO")
    assert next((key for key in keys if key in environ), None) == recipe.raw_target


@pytest.mark.where(lazy_continue=True)
def test_continue_is_sent_when_the_body_is_asked_for(client: Client, wire: Wire) -> None:
    """RFC 9110, 10.1.1: an application may still refuse before a byte of the body was sent."""
    with client.connect() as connection:
        connection.send(
            client.head("POST", f"/asked-for?wire={wire.port}", "Content-Length: 5", "Expect: 100-continue")
        )
        assert wire.hear() == "called"
        assert connection.nothing_came()
        wire.tell("read")
        assert connection.read_response().status == 100
        connection.send(b"hello")
        response = connection.read_response()

    assert (response.status, response.body) == (200, b"hello")


@pytest.mark.where(lazy_continue=False, sends_continue=True)
def test_continue_that_is_sent_at_once_harms_nothing(client: Client) -> None:
    """The server does not wait for anybody to ask; Werkzeug even says it twice."""
    with client.connect() as connection:
        connection.send(client.head("POST", "/digest", "Content-Length: 5", "Expect: 100-continue"))
        assert connection.read_response().status == 100
        connection.send(b"hello")
        response = read_final(connection)

    assert (response["length"], response["complete"]) == (5, True)


def read_final(connection: RawClient) -> Any:
    """Return what the final response says, as JSON."""
    while (response := connection.read_response()).status < 200:
        pass
    return json.loads(response.body)


@pytest.mark.where(streams_body=True)
def test_upload_that_is_cut_off_is_a_disconnect(client: Client, wire: Wire) -> None:
    """RFC 9112, 8: a message that ends early is incomplete, and must not look complete."""
    assert cut_off(client, wire, "Content-Length: 1000000", b"x" * 200_000) == "http.disconnect"


@pytest.mark.where(streams_body=True)
def test_chunked_upload_that_is_cut_off_is_a_disconnect(client: Client, wire: Wire) -> None:
    """The same between two chunks, where it is easiest to take for the end."""
    assert cut_off(client, wire, "Transfer-Encoding: chunked", chunked(b"x" * 200_000)) == "http.disconnect"


@pytest.mark.where(streams_body=True, survives_cut_chunk=True)
def test_upload_that_is_cut_off_in_a_chunk_is_a_disconnect(client: Client, wire: Wire) -> None:
    """The same where the chunk says how much is missing."""
    body = chunked(b"x" * 200_000) + b"ffff\r\nxx"

    assert cut_off(client, wire, "Transfer-Encoding: chunked", body) == "http.disconnect"


def cut_off(client: Client, wire: Wire, header_line: str, body: bytes) -> str:
    """Send the beginning of an upload and leave; return how it ended for the application."""
    with client.connect() as connection:
        connection.send(client.head("POST", f"/upload?wire={wire.port}", header_line) + body)
        assert wire.hear() == "begun"
    return wire.hear()


@pytest.mark.where(streams_body=True)
def test_response_begins_before_the_upload_has_ended(client: Client) -> None:
    """Both directions at once, as an echo needs it."""
    with client.connect() as connection:
        connection.send(client.head("POST", "/answers-while-reading", "Content-Length: 400000"))
        connection.send(b"x" * 200_000)
        connection.read_until(b"begun ")
        connection.send(b"x" * 200_000)
        response = connection.read_response()

    assert (response.body, response.complete) == (b"begun ended", True)


@pytest.mark.where(streams_body=True)
def test_timeout_of_the_application_fires_while_the_client_is_silent(client: Client) -> None:
    """Issue 3: long bodies are read off the loop, so a timeout around receive() fires although wsgi.input blocks."""
    with client.connect() as connection:
        connection.send(client.head("POST", "/gives-up", "Content-Length: 400000"))
        connection.send(b"x" * 200_000)
        response = connection.read_response()

    assert (response.status, response.body) == (408, b"too slow")
    assert client.get("/hello").body == b"hello"


@pytest.mark.where(name="cheroot")
def test_late_rest_of_an_upload_does_not_keep_the_response(client: Client, wire: Wire) -> None:
    """Cheroot reads the rest of a body when it sends the headers: whoever reads beside it takes bytes that it needs."""
    with client.connect() as connection:
        connection.send(client.head("POST", f"/gives-up?wire={wire.port}", "Content-Length: 400000"))
        connection.send(b"x" * 200_000)
        assert wire.hear() == "gave up"
        connection.send(b"x" * 200_000)
        response = connection.read_response()

    assert (response.status, response.body) == (408, b"too slow")


@pytest.mark.where(streams_body=False)
def test_upload_that_is_cut_off_calls_nobody(plain_client: Client, wire: Wire) -> None:
    """The server waits for the whole body, so the application does not hear of half of one."""
    before = plain_client.get("/uploads").body
    with plain_client.connect() as connection:
        connection.send(plain_client.head("POST", f"/upload?wire={wire.port}", "Content-Length: 1000000"))
        connection.send(b"x" * 200_000)

    # This request comes after the end of that connection, and is served after it.
    assert plain_client.get("/uploads").body == before
