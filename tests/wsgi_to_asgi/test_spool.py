"""A body of unknown length goes to memory or to disk, whole or not at all."""

import io
import tempfile
from typing import IO, Any

import pytest

from bridge.errors import ClientDisconnected
from bridge.wsgi_to_asgi.spool import spool


class BrokenOff(io.BufferedIOBase):
    """A body of which *chunks* arrive before its client leaves."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)

    def read(self, size: int | None = -1, /) -> bytes:
        if not self._chunks:
            raise ClientDisconnected("gone")
        return self._chunks.pop(0)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """The temporary files that are made during the test."""
    made: list[IO[bytes]] = []
    make = tempfile.TemporaryFile

    def remember(*args: Any, **kwargs: Any) -> IO[bytes]:
        made.append(make(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", remember)
    return made


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_body_up_to_the_bound_stays_in_memory(size: int, files: list[IO[bytes]]) -> None:
    """``memory`` is the number of bytes up to which no file is made."""
    file, counted = spool(io.BytesIO(b"x" * size), 10)

    assert (file.read(), counted, files) == (b"x" * size, size, [])


@pytest.mark.parametrize(("size", "memory"), [(11, 10), (300_000, 10), (300_000, 100_000), (300_000, 299_999)])
def test_longer_body_goes_to_a_temporary_file(size: int, memory: int, files: list[IO[bytes]]) -> None:
    """DESIGN.md, "Request body": memory, then a temporary file. The file is at its start and holds it all."""
    body = bytes(range(100)) * (size // 100) + b"x" * (size % 100)
    file, counted = spool(io.BytesIO(body), memory)

    with file:
        assert (file.read(), counted) == (body, size)
        assert files == [file]


def test_file_is_the_readers_to_close(files: list[IO[bytes]]) -> None:
    """The application reads it long after spool() has returned."""
    file, _ = spool(io.BytesIO(b"x" * 11), 10)

    assert not file.closed
    file.close()
    assert [made.closed for made in files] == [True]


@pytest.mark.parametrize(("chunks", "made"), [([], 0), ([b"x"], 0), ([b"x" * 11], 1), ([b"x" * 11, b"y"], 1)])
def test_body_that_breaks_off_leaves_no_file(chunks: list[bytes], made: int, files: list[IO[bytes]]) -> None:
    """What the source raises is raised: half a body must never look complete."""
    with pytest.raises(ClientDisconnected, match="gone"):
        spool(BrokenOff(*chunks), 10)

    assert [file.closed for file in files] == [True] * made


def test_full_disk_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first write to a temporary file may be the one that fails."""
    made: list[IO[bytes]] = []

    class FullDisk(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(28, "No space left on device")

    def make(*args: Any, **kwargs: Any) -> IO[bytes]:
        made.append(FullDisk())
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    with pytest.raises(OSError, match="No space left"):
        spool(io.BytesIO(b"x" * 11), 10)

    assert [file.closed for file in made] == [True]
