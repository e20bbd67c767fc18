"""One event as it is sent, and as a browser reads it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import ApplicationError, ServerSentEvent


@pytest.mark.parametrize(
    ("event", "encoded"),
    [
        pytest.param(ServerSentEvent("a"), b"data: a\n\n", id="data"),
        pytest.param(ServerSentEvent(""), b"data: \n\n", id="no data is an event, too"),
        pytest.param(ServerSentEvent(" a"), b"data:  a\n\n", id="one space is taken off, not two"),
        pytest.param(ServerSentEvent("a\nb\r\nc\rd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n", id="every line end"),
        pytest.param(ServerSentEvent("a\n"), b"data: a\ndata: \n\n", id="line end at the end"),
        pytest.param(ServerSentEvent("a\u2028b\x0bc"), "data: a\u2028b\x0bc\n\n".encode(), id="no line ends"),
        pytest.param(ServerSentEvent("é"), "data: é\n\n".encode(), id="UTF-8"),
        pytest.param(
            ServerSentEvent("a", event="add", id="7", retry=1500),
            b"event: add\nid: 7\nretry: 1500\ndata: a\n\n",
            id="every field",
        ),
        pytest.param(ServerSentEvent("a", id="", retry=0), b"id: \nretry: 0\ndata: a\n\n", id="empty id resets it"),
    ],
)
def test_encoding(event: ServerSentEvent, encoded: bytes) -> None:
    """HTML, 9.2.5 "Parsing an event stream"."""
    assert event.encode() == encoded


@pytest.mark.parametrize(
    "fields",
    [
        {"data": b"bytes"},
        {"data": None},
        {"data": "", "event": "a\nb"},
        {"data": "", "event": "a\rb"},
        {"data": "", "event": 1},
        {"data": "", "id": "a\r\nb"},
        {"data": "", "id": "a\0"},
        {"data": "", "id": 7},
        {"data": "", "retry": -1},
        {"data": "", "retry": 1.5},
        {"data": "", "retry": "1"},
    ],
    ids=repr,
)
def test_field_that_cannot_be_sent_is_refused(fields: dict[str, Any]) -> None:
    """A line end in it would forge another field."""
    with pytest.raises(ApplicationError):
        ServerSentEvent(**fields)


def read(sent: str) -> list[tuple[str, str, str]]:
    """Interpret a stream: HTML, 9.2.6; return type, data and last event id of each event."""
    events = []
    kind, last, data = "", "", ""
    for line in sent.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((kind or "message", data.removesuffix("\n"), last))
            kind, data = "", ""
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last = value
    return events


lines = st.text(st.characters(exclude_categories=["Cs"]))
one_line = lines.filter(lambda text: not set(text) & set("\r\n\0"))


@given(data=lines, event=one_line, id=one_line)
def test_browser_reads_what_was_written(data: str, event: str, id: str) -> None:
    """Whatever the text; line ends become line feeds."""
    sent = ServerSentEvent(data, event=event, id=id).encode().decode()

    text = data.replace("\r\n", "\n").replace("\r", "\n")
    assert read(sent * 2) == [(event or "message", text, id)] * 2
