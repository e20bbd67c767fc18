"""Socket.IO, of which a WebSocket is one of two transports: by itself, and after long polling."""

from __future__ import annotations

import json

from compat_matrix.checks.registry import Failed, contract, expect
from compat_matrix.checks.websocket_opening import opened
from compat_matrix.site import Site
from compat_matrix.websocket_client import WebSocketClient

_SOCKETIO = "Engine.IO protocol, version 4; Socket.IO protocol, version 5"
_TARGET = "/socket.io/?EIO=4&transport="


@contract("websocket.socketio", _SOCKETIO, needs=("websocket", "socket.io"), hands_out_socket=True)
def socketio(site: Site) -> None:
    """A client of Socket.IO that begins with a WebSocket is answered: text, binary data, an acknowledgement."""
    with opened(site, f"{_TARGET}websocket") as websocket:
        expect("the first packet", _text(websocket)[:1], "0")
        websocket.say("40")
        expect("the answer to connect", _text(websocket)[:2], "40")
        _asked(websocket)
        websocket.say('451-["ask",{"_placeholder":true,"num":0}]')
        websocket.say(b"\x00\xff")
        expect("the event with binary data", _text(websocket), '451-["answer",{"_placeholder":true,"num":0}]')
        expect("its data", websocket.hear(), b"\x00\xff")


@contract("websocket.socketio.upgrade", _SOCKETIO, needs=("websocket", "socket.io"), hands_out_socket=True, processes=1)
def upgrade(site: Site) -> None:
    """A client of Socket.IO that begins with long polling goes over to a WebSocket and keeps its session."""
    packet = site.get(f"{_TARGET}polling").body.decode()
    session = f"&sid={json.loads(packet[1:])['sid']}"
    expect("the answer to a packet", site.ask("POST", f"{_TARGET}polling{session}", body=b"40").body, b"OK")
    expect("the answer to connect", site.get(f"{_TARGET}polling{session}").body[:2], b"40")
    with opened(site, f"{_TARGET}websocket{session}") as websocket:
        websocket.say("2probe")
        expect("the answer to the probe", _text(websocket), "3probe")
        websocket.say("5")
        _asked(websocket)


def _asked(websocket: WebSocketClient) -> None:
    websocket.say('427["ask","caf\xe9"]')
    for kind, data in (("42", ["answer", "caf\xe9"]), ("437", ["heard"])):
        packet = _text(websocket)
        expect("the kind of packet", packet[: len(kind)], kind)
        expect("its data", json.loads(packet[len(kind) :]), data)


def _text(websocket: WebSocketClient) -> str:
    message = websocket.hear()
    while message == "6":  # sent to end a poll, and to nobody if there is none; clients pass over it
        message = websocket.hear()
    if not isinstance(message, str):
        raise Failed(f"a packet of text came as binary: {message!r}")
    return message
