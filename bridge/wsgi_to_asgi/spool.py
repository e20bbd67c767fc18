"""A body of unknown length, read to its end and counted. Knows files, no thread and no event loop."""

from __future__ import annotations

import io
from typing import IO

_PIECE = 65536


def spool(source: io.BufferedIOBase, memory: int) -> tuple[IO[bytes], int]:
    """Read *source* to its end; blocks, and writes to disk.

    Args:
        source: the body; what its reads raise is raised here, and the file is gone.
        memory: bytes up to which the body stays in memory; a longer one goes to a temporary file.

    Returns:
        ``(file, size)``: a file at its start that whoever has it closes, and its size in bytes.
    """
    file: IO[bytes] = io.BytesIO()
    size = 0
    try:
        while piece := source.read(_PIECE):
            if isinstance(file, io.BytesIO) and size + len(piece) > memory:
                # Imported here: it is as large as all of bridge, and most processes never need it.
                import tempfile

                begun = file.getvalue()
                file = tempfile.TemporaryFile(prefix="bridge-")  # noqa: SIM115 - the caller closes it
                file.write(begun)
            file.write(piece)
            size += len(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file, size
