"""What an application gets of a request's body, however it is framed."""

from __future__ import annotations

import hashlib
from typing import Any

from compat_matrix.checks.answers import ask_chunked, chunked, expect_bytes, header, still_serves, told, whole
from compat_matrix.checks.registry import Failed, contract, expect
from compat_matrix.client import Response
from compat_matrix.site import Site, head

_FORM = "Content-Type: application/x-www-form-urlencoded"
_OCTETS = "Content-Type: application/octet-stream"
_BOUNDARY = "----matrix7MA4YWxkTrZu0gW"

# The sizes where buffers of 64 KiB, which everybody has, are just not full, full, and too small.
_EDGES = (65_535, 65_536, 65_537)
_LARGE = 5 * 1024 * 1024  # bytes; more than any buffer on the way
_FILE = 1024 * 1024  # bytes
_ALL_BYTES = bytes(range(256))


# -- forms ------------------------------------------------------------------------------------------------------------


@contract("http.body.form", "WHATWG URL, 5.1: application/x-www-form-urlencoded parsing")
def form(site: Site) -> None:
    """The fields of a form arrive, decoded, repeated ones in their order."""
    fields = told(site, "POST", "/form", _FORM, body=b"a=1&caf%C3%A9=%E2%82%AC&b=x+y%26z&a=2")
    expect("fields", fields, {"a": ["1", "2"], "caf\xe9": ["\u20ac"], "b": ["x y&z"]})


@contract("http.body.form.chunked", "RFC 9112, 7.1; WHATWG URL, 5.1")
def chunked_form(site: Site) -> None:
    """A form that comes in chunks is read as well."""
    response = ask_chunked(site, "POST", "/form", chunked(b"a=1&b=caf%C3%A9", 4), _FORM)
    expect("fields", whole(response).json(), {"a": ["1"], "b": ["caf\xe9"]})


@contract("http.body.multipart.fields", "RFC 7578, 4.2 and 4.3")
def multipart_fields(site: Site) -> None:
    """Fields of a multipart form arrive beside a file, repeated ones in their order."""
    got = _multipart(
        site, _part("a", b"1"), _part("a", b"2"), _part("e", "caf\xe9 \u20ac".encode()), _file("f", "x", b"y")
    )
    expect("fields", got["fields"], {"a": ["1", "2"], "e": ["caf\xe9 \u20ac"]})
    expect("number of files", len(got["files"]), 1)


@contract("http.body.multipart.files", "RFC 7578, 4.2 and 4.4")
def multipart_files(site: Site) -> None:
    """Each file arrives with its name, its type and its bytes; line ends and boundary lookalikes are bytes."""
    odd = b"\r\n--" + _BOUNDARY.encode()[:-1] + b"\r\n\r\n" + _ALL_BYTES + b"\r\n--\r\n"
    files = [("one", "a.txt", "text/plain", b"one\r\n"), ("two", "b.bin", "application/x-odd", odd)]
    got = _multipart(site, *(_file(name, filename, data, type) for name, filename, type, data in files))
    expect("files", got["files"], [_digest(name, filename, type, data) for name, filename, type, data in files])


@contract("http.body.multipart.empty", "RFC 7578, 4.2")
def multipart_empty_file(site: Site) -> None:
    """A file of no bytes is a file."""
    got = _multipart(site, _file("f", "empty.bin", b""), _file("g", "after.bin", b"x"))
    expect("files", [(file["filename"], file["size"]) for file in got["files"]], [("empty.bin", 0), ("after.bin", 1)])
    expect("sha256", got["files"][0]["sha256"], hashlib.sha256(b"").hexdigest())


@contract("http.body.multipart.large", "RFC 7578, 4.2")
def multipart_large_file(site: Site) -> None:
    """A file of 1 MiB arrives whole, between two small ones."""
    large = _ALL_BYTES * (_FILE // 256)
    datas = [b"before", large, b"after"]
    got = _multipart(site, *(_file(f"f{number}", "x.bin", data) for number, data in enumerate(datas)))
    expect("sizes", [file["size"] for file in got["files"]], [6, _FILE, 5])
    expect("sha256", got["files"][1]["sha256"], hashlib.sha256(large).hexdigest())


@contract("http.body.multipart.filename", "RFC 7578, 4.2 and 5.1")
def multipart_filename(site: Site) -> None:
    """A file's name may be in any script; browsers send it as UTF-8."""
    got = _multipart(site, _file("f", "na\xefve \u6587.txt", b"x"))
    expect("filename", got["files"][0]["filename"], "na\xefve \u6587.txt")


@contract("http.body.multipart.repeated", "RFC 7578, 4.3")
def multipart_repeated(site: Site) -> None:
    """Several files of one field arrive, in order."""
    got = _multipart(site, *(_file("f", f"{number}.txt", b"x" * number) for number in (1, 2, 3)))
    expect(
        "files",
        [(file["name"], file["filename"], file["size"]) for file in got["files"]],
        [("f", "1.txt", 1), ("f", "2.txt", 2), ("f", "3.txt", 3)],
    )


@contract("http.body.multipart.chunked", "RFC 9112, 7.1; RFC 7578, 4.1")
def multipart_chunked(site: Site) -> None:
    """A multipart form that comes in chunks, which end anywhere, is read as well."""
    body = _join(_part("a", b"1"), _file("f", "x.bin", _ALL_BYTES * 40))
    got = whole(ask_chunked(site, "POST", "/multipart", chunked(body, 700), _type())).json()
    expect("fields", got["fields"], {"a": ["1"]})
    expect("sha256", [file["sha256"] for file in got["files"]], [hashlib.sha256(_ALL_BYTES * 40).hexdigest()])


# -- raw bodies with Content-Length -----------------------------------------------------------------------------------


@contract("http.body.bytes", "RFC 9110, 6.4; PEP 3333, Input and Error Streams")
def every_byte(site: Site) -> None:
    """Each of the 256 bytes arrives as it is, and so do the headers about the body."""
    echo = told(site, "POST", "/echo", "Content-Type: application/x-odd; a=b", body=_ALL_BYTES)
    expect_bytes("body", echo["body"].encode("latin-1"), _ALL_BYTES)
    expect("content-type", header(echo, "content-type"), ["application/x-odd; a=b"])
    expect("content-length", header(echo, "content-length"), ["256"])


@contract("http.body.none", "RFC 9112, 6.3; PEP 3333, environ Variables: CONTENT_LENGTH", invents_type=False)
def no_body(site: Site) -> None:
    """A request without a body has none, and nothing declares one."""
    echo = told(site, "POST", "/echo")
    expect("body", echo["body"], "")
    # PEP 3333 allows the variables to be empty, and "0" says the same.
    expect("content-type", [value for value in header(echo, "content-type") if value], [])
    expect("content-length", [value for value in header(echo, "content-length") if value not in ("", "0")], [])


@contract("http.body.get", "RFC 9110, 9.3.1")
def body_of_get(site: Site) -> None:
    """A GET request may have a body, and it does not become the next request."""
    with site.connect() as client:
        client.send(head("GET", "/echo", _OCTETS, length=5) + b"hello")
        expect("body", whole(client.read_response()).json()["body"], "hello")
        if site.recipe.keep_alive:  # no server closes here, as there is nothing left over
            client.get("/echo?second")
            expect("query of the second request", whole(client.read_response()).json()["query"], "second")


@contract("http.body.length.empty", "RFC 9112, 6.2")
def length_empty(site: Site) -> None:
    """An upload of no bytes, declared as such, ends at once."""
    _uploaded(site.ask("POST", "/upload", _OCTETS, "Content-Length: 0"), b"")


@contract("http.body.length.one", "RFC 9112, 6.2")
def length_one(site: Site) -> None:
    """An upload of one byte arrives."""
    _uploaded(site.ask("POST", "/upload", _OCTETS, body=b"\0"), b"\0")


@contract("http.body.length.edges", "RFC 9112, 6.2; PEP 3333, Input and Error Streams: read(size)")
def length_edges(site: Site) -> None:
    """Uploads arrive whole that fill a buffer of 64 KiB just not, exactly, and by a byte too much."""
    for size in _EDGES:
        body = _body(size)
        _uploaded(site.ask("POST", "/upload", _OCTETS, body=body), body)


@contract("http.body.length.large", "RFC 9112, 6.2")
def length_large(site: Site) -> None:
    """An upload of 5 MiB arrives whole."""
    body = _body(_LARGE)
    _uploaded(site.ask("POST", "/upload", _OCTETS, body=body), body)


# -- chunked bodies ---------------------------------------------------------------------------------------------------


@contract("http.body.chunked.empty", "RFC 9112, 7.1")
def chunked_empty(site: Site) -> None:
    """An upload of the last chunk only is empty."""
    _uploaded(ask_chunked(site, "POST", "/upload", chunked(b""), _OCTETS), b"")


@contract("http.body.chunked.one", "RFC 9112, 7.1")
def chunked_one(site: Site) -> None:
    """An upload of one byte in a chunk arrives."""
    _uploaded(ask_chunked(site, "POST", "/upload", chunked(b"\0"), _OCTETS), b"\0")


@contract("http.body.chunked.edges", "RFC 9112, 7.1")
def chunked_edges(site: Site) -> None:
    """Chunks arrive whole that fill a buffer of 64 KiB just not, exactly, and by a byte too much."""
    for size in _EDGES:
        body = _body(size)
        _uploaded(ask_chunked(site, "POST", "/upload", chunked(body, size), _OCTETS), body)


@contract("http.body.chunked.large", "RFC 9112, 7.1")
def chunked_large(site: Site) -> None:
    """An upload of 5 MiB in chunks of odd sizes arrives whole."""
    body = _body(_LARGE)
    _uploaded(ask_chunked(site, "POST", "/upload", chunked(body, 99_991), _OCTETS), body)


@contract("http.body.chunked.tiny", "RFC 9112, 7.1")
def chunked_tiny(site: Site) -> None:
    """An upload in hundreds of chunks of a byte or three arrives whole, and nothing of the framing."""
    body = b"0\r\n\r\n" + _ALL_BYTES
    for size in (1, 3):
        _uploaded(ask_chunked(site, "POST", "/upload", chunked(body, size), _OCTETS), body)


@contract("http.body.chunked.extension", "RFC 9112, 7.1.1", takes_chunk_extensions=True)
def chunk_extensions(site: Site) -> None:
    """Chunk extensions are ignored."""
    framed = chunked(b"hello world", 4, extension=b';name=value;q="x;y"')
    _uploaded(ask_chunked(site, "POST", "/upload", framed, _OCTETS), b"hello world")


@contract("http.body.chunked.trailer", "RFC 9112, 7.1.2", takes_request_trailers=True)
def chunked_trailer(site: Site) -> None:
    """Trailers of a request are no part of its body, nor of its headers."""
    framed = chunked(b"hello", trailer=b"X-Trailer: late\r\n")
    _uploaded(ask_chunked(site, "POST", "/upload", framed, _OCTETS), b"hello")
    echo = whole(ask_chunked(site, "POST", "/echo", framed, _OCTETS)).json()
    expect("body", echo["body"], "hello")
    expect("x-trailer", header(echo, "x-trailer"), [])


@contract("http.body.chunked.reuse", "RFC 9112, 7.1 and 9.3", keep_alive=True)
def chunked_reuse(site: Site) -> None:
    """After a chunked upload the next request on the connection is read from where it begins."""
    with site.connect() as client:
        client.send(head("POST", "/upload", "Transfer-Encoding: chunked", _OCTETS) + chunked(b"hello", 2))
        _uploaded(client.read_response("POST"), b"hello")
        client.get("/echo?second")
        expect("query of the second request", whole(client.read_response()).json()["query"], "second")


# -- bodies that nobody reads -----------------------------------------------------------------------------------------


@contract("http.body.unread", "RFC 9112, 9.6; PEP 3333, Input and Error Streams")
def unread(site: Site) -> None:
    """A body of 1 MiB that the application leaves unread disturbs neither its answer nor the next request."""
    with site.connect() as client:
        try:
            client.send(head("POST", "/ignore", _OCTETS, length=_FILE) + b"x" * _FILE)
            response = client.read_response("POST")
        except ConnectionError:
            # RFC 9112, 9.6: a server that closes on unread data resets the connection, and the answer may be lost.
            response = None
    if response is not None:
        expect("answer", (response.status, response.body), (403, b"ignored"))
    still_serves(site)


@contract("http.body.unread.next", "RFC 9112, 9.3", keep_alive=True)
def unread_next(site: Site) -> None:
    """What the application leaves unread never becomes a request."""
    smuggled = b"GET /missing HTTP/1.1\r\nHost: test\r\n\r\n"
    with site.connect() as client:
        client.send(head("POST", "/ignore", _OCTETS, length=len(smuggled)) + smuggled)
        first = client.read_response("POST")
        expect("answer", (first.status, first.body), (403, b"ignored"))
        try:
            client.get("/")
            second = client.read_response()
        except (EOFError, ConnectionError):
            return  # closed: as good
    expect("status of the second answer", second.status, 200)


@contract(
    "http.body.unread.early",
    "RFC 9112, 9.3; RFC 9110, 7.5",
    needs=("early answer",),
    streams_body=True,
    answers_early=True,
)
def answer_before_body(site: Site) -> None:
    """An application that refuses a body is heard before the body has come."""
    with site.connect() as client:
        # A framework may want the first message of the body, and read(size) of wsgi.input gives nothing before size
        # bytes are there: more than anybody asks for at once.
        client.send(head("POST", "/ignore", _OCTETS, length=400_000) + b"x" * 200_000)
        response = client.read_response("POST")
    expect("answer", (response.status, response.body), (403, b"ignored"))
    still_serves(site)


# -- helpers ----------------------------------------------------------------------------------------------------------


def _body(size: int) -> bytes:
    # No period of a power of two, so that a piece that is lost or doubled is noticed wherever buffers end.
    block = b"".join(b"%d," % number for number in range(1_000))
    return (block * (size // len(block) + 1))[:size]


def _uploaded(response: Response, body: bytes) -> None:
    got = whole(response).json()
    expect("size", got["size"], len(body))
    expect("sha256", got["sha256"], hashlib.sha256(body).hexdigest())


def _part(name: str, data: bytes) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data


def _file(name: str, filename: str, data: bytes, type: str = "application/octet-stream") -> bytes:
    lines = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {type}\r\n\r\n'
    return lines.encode() + data


def _type() -> str:
    return f"Content-Type: multipart/form-data; boundary={_BOUNDARY}"


def _join(*parts: bytes) -> bytes:
    border = b"--" + _BOUNDARY.encode()
    return b"".join(border + b"\r\n" + part + b"\r\n" for part in parts) + border + b"--\r\n"


def _multipart(site: Site, *parts: bytes) -> Any:
    got = told(site, "POST", "/multipart", _type(), body=_join(*parts))
    if not isinstance(got, dict) or "files" not in got:
        raise Failed(f"expected fields and files, got {got!r}")
    return got


def _digest(name: str, filename: str, type: str, data: bytes) -> dict[str, object]:
    return {
        "name": name,
        "filename": filename,
        "content_type": type,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
