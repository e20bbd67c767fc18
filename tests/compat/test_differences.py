"""The tables of docs/migrating.md are true: each cell is observed, and each row has its observation."""

from __future__ import annotations

import logging
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from bridge import AsgiToWsgi
from tests.compat.differences import (
    ASGI_OURS,
    ASGI_PEERS,
    ASGI_ROWS,
    WSGI_OURS,
    WSGI_PEERS,
    WSGI_ROWS,
    closing_later,
)

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## What is different\n")[2]

Table = dict[str, dict[str, str]]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip()[1:-1].split("|")]


def tables() -> list[Table]:
    """The tables of the section, by row and by column."""
    found: list[Table] = []
    for text in re.findall(r"(?:^\|.*\n)+", SECTION, re.MULTILINE):
        head, _, *rows = map(cells_of, text.splitlines())
        found.append({row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows})
    return found


ON_ASGI, ON_WSGI = tables()


def is_observed(peer: str) -> bool:
    """Whether the peer that is installed is the one that the page speaks of: another may do better."""
    return f"{peer} {version(peer.lower())}" in SECTION


@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"], indirect=True)
@pytest.mark.parametrize("row", WSGI_ROWS)
async def test_wsgi_application_on_an_asgi_server(row: str, bridge_log: list[logging.LogRecord]) -> None:
    """Each adapter does what its cell says; every adapter of the bridge does what the last one says."""
    cells, observe = ON_ASGI[row], WSGI_ROWS[row]
    seen = {peer: await observe(adapter) for peer, adapter in WSGI_PEERS.items() if is_observed(peer)}

    assert seen == {peer: cells[peer] for peer in seen}
    assert [await observe(adapter) for adapter in WSGI_OURS] == [cells["bridge"]] * len(WSGI_OURS)


@pytest.mark.parametrize("row", ASGI_ROWS)
def test_asgi_application_on_a_wsgi_server(row: str, bridge_log: list[logging.LogRecord]) -> None:
    """As above."""
    cells, observe = ON_WSGI[row], ASGI_ROWS[row]
    seen = {peer: observe(adapter) for peer, adapter in ASGI_PEERS.items() if is_observed(peer)}
    adapters: list[AsgiToWsgi] = []
    ours = [observe(closing_later(adapter, adapters)) for adapter in ASGI_OURS]
    for adapter in adapters:
        adapter.close()

    assert seen == {peer: cells[peer] for peer in seen}
    assert ours == [cells["bridge"]] * len(ASGI_OURS)
    assert len(adapters) == len(ASGI_OURS)


def test_every_row_is_observed() -> None:
    """No row of the page without an observation, and none that the page leaves out."""
    assert (list(ON_ASGI), list(ON_WSGI)) == (list(WSGI_ROWS), list(ASGI_ROWS))


def test_every_peer_has_its_version() -> None:
    """The page says of which versions it speaks."""
    for peer in {*WSGI_PEERS, *ASGI_PEERS}:
        assert re.search(rf"{peer} \d+\.\d+", SECTION), peer
