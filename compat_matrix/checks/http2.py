"""HTTP/2, where the server speaks it over cleartext with prior knowledge: what the framing of HTTP/1.1 hides."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack

from compat_matrix.apps.support import pattern
from compat_matrix.checks.observe import OF_THE_SERVER
from compat_matrix.checks.registry import Failed, contract, expect
from compat_matrix.h2_client import H2Client, Response
from compat_matrix.site import Site

_AT_ONCE = 5  # streams
_SIZE = 300_000  # bytes: more than every window and every buffer that is there by default


def connect(site: Site) -> H2Client:
    """Open a connection."""
    return H2Client(site.running.host, site.running.port, site.timeout)


def ask(
    site: Site, method: str, target: str, *headers: tuple[str, str], body: bytes | None = None, declared: bool = True
) -> Response:
    """Make one request on a connection of its own; *declared*: its body has a content-length."""
    with connect(site) as client:
        length = len(body) if body is not None and declared else None
        stream = client.request(method, target, headers=headers, length=length, body=body is not None)
        if body is not None:
            client.send(stream, body, ended=True)
        return client.read_response(stream)


@contract("http2.request", "RFC 9113, 8.3.1", http2=True)
def request(site: Site) -> None:
    """Method, path, query and headers reach the application, and nothing of HTTP/2's own does."""
    response = ask(site, "PUT", "/echo?a=%2F", ("x-one", "1"), ("x-empty", ""))
    expect("status", response.status, 200)
    echo = response.json()
    expect("request", (echo["method"], echo["path"], echo["query"]), ("PUT", "/echo", "a=%2F"))
    headers = dict(echo["headers"])
    expect("x-one", headers.get("x-one"), "1")
    expect("pseudo-headers", [name for name in headers if name.startswith(":")], [])
    expect("host", headers.get("host"), f"{site.running.host}:{site.running.port}")


@contract("http2.request.cookies", "RFC 9113, 8.2.3", http2=True, joins_cookies=True)
def cookies(site: Site) -> None:
    """Cookies that come in several fields are all there."""
    response = ask(site, "GET", "/cookies", ("cookie", "a=1"), ("cookie", "b=2"))
    expect("status", response.status, 200)
    expect("cookies", response.json(), {"a": "1", "b": "2"})


@contract("http2.upload", "RFC 9113, 8.1.1", http2=True)
def upload(site: Site) -> None:
    """A body with its length declared arrives whole."""
    _uploaded(site, b"".join(pattern(_SIZE)), declared=True)


@contract("http2.upload.undeclared", "RFC 9113, 8.1.1", http2=True)
def upload_undeclared(site: Site) -> None:
    """A body without a length, which HTTP/2 needs not have, arrives whole."""
    for size in (0, 1, _SIZE):
        _uploaded(site, b"".join(pattern(size)), declared=False)


def _uploaded(site: Site, body: bytes, *, declared: bool) -> None:
    response = ask(site, "POST", "/upload", ("content-type", "application/octet-stream"), body=body, declared=declared)
    expect("status", response.status, 200)
    expect("body", response.json(), {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()})


@contract("http2.download", "RFC 9113, 8.1", http2=True)
def download(site: Site) -> None:
    """A streamed body arrives whole, with and without a declared length."""
    for target in ("/download", "/download/declared"):
        response = ask(site, "GET", f"{target}?size={_SIZE}")
        expect("status", response.status, 200)
        if response.body != b"".join(pattern(_SIZE)):
            raise Failed(f"{target}: {len(response.body)} bytes of body are not the {_SIZE} that were sent")


@contract("http2.stream", "RFC 9113, 8.1; ASGI HTTP specification, Response Body", http2=True)
def stream(site: Site) -> None:
    """Each chunk arrives while the application waits before the next."""
    with site.wire() as wire, connect(site) as client:
        number = client.request("GET", f"/stream?wire={wire.port}")
        client.read_until(number, b"first\n")
        wire.tell("go on")
        client.read_until(number, b"first\nsecond\n")
        wire.tell("go on")
        response = client.read_response(number)
    expect("response", (response.status, response.body), (200, b"first\nsecond\nthird\n"))


@contract("http2.head", "RFC 9110, 9.3.2; RFC 9113, 8.1", http2=True)
def head(site: Site) -> None:
    """HEAD, 204 and 304 have no body."""
    # 405 where a framework does not answer HEAD for a view of GET.
    for method, target, statuses in (
        ("HEAD", "/json", (200, 405)),
        ("GET", "/status/204", (204,)),
        ("GET", "/status/304", (304,)),
    ):
        response = ask(site, method, target)
        expect(f"body of {method} {target}", response.body, b"")
        expect(f"{response.status} is one of {statuses}", response.status in statuses, True)


@contract("http2.hop_by_hop", "RFC 9113, 8.2.2", http2=True)
def hop_by_hop(site: Site) -> None:
    """No response has a header of a connection, which HTTP/2 does not allow."""
    forbidden = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
    for target in ("/", "/download?size=10", "/events", "/missing", "/error/before"):
        response = ask(site, "GET", target)
        expect(target, sorted(forbidden & {name for name, _ in response.headers}), [])


@contract("http2.concurrent", "RFC 9113, 5.1.2", http2=True, concurrent=True)
def concurrent(site: Site) -> None:
    """Requests on one connection run at the same time, and each gets its own answer."""
    with connect(site) as client:
        streams = {client.request("GET", f"/args?number={number}"): number for number in range(_AT_ONCE)}
        for one, number in streams.items():
            expect("answer", client.read_response(one).json(), {"number": [str(number)]})
    with ExitStack() as stack, connect(site) as client:
        wires = [stack.enter_context(site.wire()) for _ in range(_AT_ONCE)]
        held = [(wire, client.request("GET", f"/blocking?wire={wire.port}")) for wire in wires]
        for wire, _ in held:
            expect("said", wire.hear(), "running")
        for wire, number in held:
            wire.tell("go on")
            expect("body", client.read_response(number).body, b"blocked")


@contract(
    "http2.early_hints",
    'RFC 8297, 2; ASGI, "Extensions", "Early Hints"',
    needs=("long-lived",),
    http2=True,
    early_hints=True,
)
def early_hints(site: Site) -> None:
    """Links that the application hints at reach the client in a 103 response, while the view has not answered."""
    with site.wire() as wire, connect(site) as client:
        number = client.request("GET", f"/hints?wire={wire.port}")
        hints: list[tuple[str, str]] = []
        if (said := wire.hear()) == "hinted":
            hints = [pair for pair in client.read_hints(number) if pair[0] not in OF_THE_SERVER]
            wire.tell("go on")
        # Also where there are none: a client that leaves in the middle of a response is another check's.
        response = client.read_response(number)
    expect("the application says", said, "hinted")
    expect("headers of the 103", hints, [("link", "</style.css>; rel=preload; as=style")])
    expect("status and body", (response.status, response.body), (200, b"styled"))
