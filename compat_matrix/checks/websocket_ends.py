"""How a WebSocket ends: by a close of either side, by an application that fails, a client that leaves or errs."""

from __future__ import annotations

from contextlib import suppress

from compat_matrix.checks.failures import wait_for_traceback
from compat_matrix.checks.registry import Failed, NotApplicable, contract, expect
from compat_matrix.checks.streaming import greeting, hear
from compat_matrix.checks.websocket_messages import echoed
from compat_matrix.checks.websocket_opening import opened
from compat_matrix.site import Site
from compat_matrix.websocket_client import TEXT, ClosedError, WebSocketClient
from compat_matrix.wire import Wire

_CLOSE = 'RFC 6455, 5.5.1 and 7; ASGI WebSocket, "Close - send event"'
_DISCONNECT = 'RFC 6455, 7.1; ASGI WebSocket, "Disconnect - receive event"'
_NORMAL, _PROTOCOL_ERROR, _INVALID, _INTERNAL_ERROR = 1000, 1002, 1007, 1011  # RFC 6455, 7.4.1
_OF_LIBRARIES = range(3000, 5000)  # RFC 6455, 7.4.2


def close_of(site: Site, websocket: WebSocketClient) -> tuple[int, str]:
    """Wait for the server's close frame; return code and reason."""
    try:
        return websocket.closed()
    except TimeoutError:
        raise Failed(f"the server has not closed the WebSocket within {site.timeout:g} s") from None
    except (EOFError, ConnectionError):
        raise Failed("the connection ended without a close frame") from None


def end_of(site: Site, wire: Wire) -> str:
    """Wait until the application says that its WebSocket has ended; return what it says."""
    try:
        word = wire.hear()
    except TimeoutError:
        raise Failed(f"the application did not hear of the end within {site.timeout:g} s") from None
    if word.partition(" ")[0] != "closed":
        raise Failed(f"the application said {word!r}, not that the WebSocket has ended")
    return word


def _expect_end(site: Site, websocket: WebSocketClient) -> None:
    try:
        expect("the connection ends", websocket.ended(), True)
    except TimeoutError:
        raise Failed(f"the connection is open {site.timeout:g} s after both sides have closed") from None


def _expect_failed(site: Site, websocket: WebSocketClient, code: int) -> None:
    """Check that the server fails the WebSocket (RFC 6455, 7.1.7), and that nothing comes back through it before."""
    try:
        message = websocket.hear()
    except TimeoutError:
        raise Failed(f"the WebSocket is open {site.timeout:g} s after the client has broken the protocol") from None
    except ClosedError as closed:
        if site.recipe.says_why_it_closes:
            expect("code", closed.code, code)
    except (EOFError, ConnectionError):
        # At home, simple-websocket's thread may not have sent it when Gunicorn's ends the connection.
        if site.recipe.says_why_it_closes and (site.bridged or site.app.interface == "asgi"):
            raise Failed("the connection ended without a close frame") from None
        return
    else:
        raise Failed(f"the application has answered with {message!r}")
    _expect_end(site, websocket)


def of_the_adapter(site: Site) -> None:
    """Ask nothing of servers themselves: no specification says how they end a WebSocket that nobody has closed."""
    if not site.bridged:
        raise NotApplicable("what closes a WebSocket that the application leaves open is asked of adapters")


@contract("websocket.close.client", _DISCONNECT, needs=("websocket",), hands_out_socket=True)
def by_client(site: Site) -> None:
    """A close of the client is answered, ends the connection, and is heard by the application."""
    with site.wire() as wire, opened(site, f"/ws/watch?wire={wire.port}") as websocket:
        hear(site, wire, "open")
        websocket.close(1000, "bye")
        close_of(site, websocket)
        _expect_end(site, websocket)
        end_of(site, wire)


@contract(
    "websocket.close.code", _DISCONNECT, needs=("websocket", "websocket code"), hands_out_socket=True, tells_close=True
)
def code(site: Site) -> None:
    """The application hears the code with which the client has closed, 1005 where it has given none."""
    for given, heard in ((4003, 4003), (1001, 1001), (None, 1005)):
        with site.wire() as wire, opened(site, f"/ws/watch?wire={wire.port}") as websocket:
            hear(site, wire, "open")
            websocket.close(given)
            expect("the application", end_of(site, wire), f"closed {heard}")


@contract("websocket.close.application", _CLOSE, needs=("websocket", "websocket close"), hands_out_socket=True)
def by_application(site: Site) -> None:
    """The client hears the code with which the application closes, and then the connection ends."""
    with opened(site, "/ws/close") as websocket:
        websocket.say("please")
        expect("code", close_of(site, websocket)[0], 4002)
        _expect_end(site, websocket)


@contract(
    "websocket.close.reason",
    _CLOSE,
    needs=("websocket", "websocket close"),
    hands_out_socket=True,
    sends_close_reason=True,
)
def reason(site: Site) -> None:
    """The client hears the application's reason, too."""
    with opened(site, "/ws/close") as websocket:
        websocket.say("please")
        expect("code and reason", close_of(site, websocket), (4002, "enough"))


@contract("websocket.returned", "RFC 6455, 7.4.1", needs=("websocket",), hands_out_socket=True)
def returned(site: Site) -> None:
    """When the application returns, its WebSocket is closed with 1000."""
    of_the_adapter(site)
    with opened(site, "/ws/returns") as websocket:
        websocket.say("return")
        expect("code", close_of(site, websocket)[0], _NORMAL)
        _expect_end(site, websocket)


@contract(
    "websocket.failure", "RFC 6455, 7.4.1 and 7.4.2", needs=("websocket", "websocket failure"), hands_out_socket=True
)
def failure(site: Site) -> None:
    """When the application fails, its WebSocket is closed by 1011 or its framework's own code; the server goes on."""
    of_the_adapter(site)
    with opened(site, "/ws/fails") as websocket:
        websocket.say("fail")
        seen = close_of(site, websocket)[0]
        expect("code", seen if seen in _OF_LIBRARIES else _INTERNAL_ERROR, seen)
        _expect_end(site, websocket)
    expect("the next response", site.get("/").body, greeting(site))


@contract("websocket.failure.logged", 'PEP 3333, "Error Handling"', needs=("websocket",), hands_out_socket=True)
def failure_logged(site: Site) -> None:
    """An application that fails in a WebSocket leaves its traceback in the server's log."""
    after = len(site.running.log())
    with opened(site, "/ws/fails") as websocket:
        websocket.say("fail")
        with suppress(ConnectionError):
            websocket.raw.ended()  # or a close comes, whose answer an adapter need not wait for once the client is gone
    wait_for_traceback(site, after, "in the WebSocket")


@contract("websocket.left", _DISCONNECT, needs=("websocket",), hands_out_socket=True)
def left(site: Site) -> None:
    """A client that leaves without a close is noticed by the application."""
    with site.wire() as wire:
        with opened(site, f"/ws/watch?wire={wire.port}"):
            hear(site, wire, "open")
        end_of(site, wire)
    expect("the next response", site.get("/").body, greeting(site))


@contract("websocket.lost", _DISCONNECT, needs=("websocket",), hands_out_socket=True)
def lost(site: Site) -> None:
    """A client that is lost while messages come for it ends the application that sends them."""
    with site.wire() as wire:
        with opened(site, f"/ws/endless?wire={wire.port}") as websocket:
            hear(site, wire, "called")
            websocket.hear()
            websocket.raw.reset()
        hear(site, wire, "finally")
    expect("the next response", site.get("/").body, greeting(site))


@contract("websocket.utf8", "RFC 6455, 8.1", needs=("websocket",), hands_out_socket=True)
def utf8(site: Site) -> None:
    """Text that is not UTF-8 ends the WebSocket with 1007."""
    with opened(site, "/ws/echo") as websocket:
        websocket.send(TEXT, b"caf\xe9!")
        _expect_failed(site, websocket, _INVALID)


@contract("websocket.unmasked", "RFC 6455, 5.1", needs=("websocket",), hands_out_socket=True)
def unmasked(site: Site) -> None:
    """A frame that is not masked ends the WebSocket with 1002."""
    with opened(site, "/ws/echo") as websocket:
        websocket.send(TEXT, b"plain", masked=False)
        _expect_failed(site, websocket, _PROTOCOL_ERROR)


@contract("websocket.opcode", "RFC 6455, 5.2", needs=("websocket",), hands_out_socket=True)
def opcode(site: Site) -> None:
    """A frame with an opcode that means nothing ends the WebSocket with 1002."""
    with opened(site, "/ws/echo") as websocket:
        websocket.send(3, b"what is this")
        _expect_failed(site, websocket, _PROTOCOL_ERROR)


@contract("websocket.next", _CLOSE, needs=("websocket",), hands_out_socket=True)
def next_one(site: Site) -> None:
    """One WebSocket after another leaves the server as it was: requests are answered in between and afterwards."""
    for number in range(5):
        with opened(site, "/ws/echo") as websocket:
            echoed(site, websocket, str(number))
            websocket.close(1000)
            with suppress(EOFError, ConnectionError):
                websocket.closed()
        expect("the next response", site.get("/").body, greeting(site))
