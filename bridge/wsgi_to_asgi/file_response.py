"""A file that the server sends in place of chunks: which can be, and how. Knows no application and no thread."""

from __future__ import annotations

import logging
import os
import stat
from io import BufferedReader, FileIO
from types import BuiltinMethodType
from typing import TYPE_CHECKING, Any, Final

from bridge.errors import ApplicationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from wsgiref.util import FileWrapper

    from bridge.protocols import Send

_logger = logging.getLogger("bridge")

_PATHSEND: Final = "http.response.pathsend"
_ZEROCOPYSEND: Final = "http.response.zerocopysend"

# Bytes of a chunk, when it comes to that after all.
_BLOCK: Final = 1 << 16


class FileResponse:
    """A response's whole body, as a file; closed as soon as it need not be open, at the latest with this object.

    Args:
        descriptor: the bridge's own; of the file at *path*.
        path: absolute.
        size: bytes.
        by_descriptor: whether the server takes descriptors.
    """

    __slots__ = ("_by_descriptor", "_descriptor", "_path", "_size")

    def __init__(self, descriptor: int, path: str, size: int, *, by_descriptor: bool) -> None:
        self._descriptor = descriptor
        self._path = path
        self._by_descriptor = by_descriptor
        self._size = size

    def fileno(self) -> int:
        """Return the descriptor: this is what ``http.response.zerocopysend`` calls a file."""
        return self._descriptor

    def close(self) -> None:
        """Close the file; again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close  # of an exchange that ended before anything was sent

    # -- worker thread ----------------------------------------------------------------------------------------

    def can_leave(self) -> bool:
        """Whether the server still finds the same file; if not, its chunks are to be sent."""
        facts = os.fstat(self._descriptor)
        if facts.st_size != self._size:
            return False
        if not self._by_descriptor:
            if not _is_at(self._path, facts):
                return False
            self.close()
        return True

    def chunks(self) -> Iterator[bytes]:
        """Read the file as long as it was, and close it."""
        left = self._size
        try:
            while chunk := os.read(self._descriptor, min(left, _BLOCK)):
                yield chunk
                left -= len(chunk)
        finally:
            self.close()

    # -- event loop thread ------------------------------------------------------------------------------------

    async def send(self, send: Send) -> None:
        """Let the server send it: the whole body, and its end.

        Raises:
            ApplicationError: it became shorter meanwhile; the response is not complete.
        """
        if not self._by_descriptor:
            await send({"type": _PATHSEND, "path": self._path})
            return
        try:
            await send({"type": _ZEROCOPYSEND, "file": self, "offset": 0, "count": self._size, "more_body": True})
            if os.fstat(self._descriptor).st_size < self._size:
                # Looked at before the end is said. A server may stop at the end of the file and say nothing.
                raise ApplicationError(
                    f"a file became shorter than the {self._size} bytes of its Content-Length while it was sent"
                )
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.close()


def take_file(wrapper: FileWrapper, length: int | None, extensions: Mapping[str, object]) -> FileResponse | None:
    """Find out whether the server can send what iterating *wrapper* would give, byte for byte.

    Args:
        wrapper: what ``environ["wsgi.file_wrapper"]`` made.
        length: the declared ``Content-Length``.
        extensions: of the scope.

    Returns:
        The file, opened a second time. None if it has to be sent in chunks; the log of ``bridge`` says why.

    Source: PEP 3333, "Optional Platform-Specific File Handling"; ASGI specification, "Path Send" and "Zero Copy Send".
    """
    by_descriptor = _ZEROCOPYSEND in extensions
    # Of the two the descriptor: nobody can put another file in its place. On other systems than POSIX an open file
    # cannot be removed, which the application may do in close().
    if not (by_descriptor or _PATHSEND in extensions) or os.name != "posix":
        return None
    try:
        return _take(wrapper, length, by_descriptor)
    except Exception as reason:  # of a file-like object's own as well: iterating meets it again, and raises it
        _logger.debug("A file leaves in chunks and not through the server: %s", reason)
        return None


def _take(wrapper: FileWrapper, length: int | None, by_descriptor: bool) -> FileResponse:
    # This is what the wrapper would call, so what stands behind it counts and not what the object is: Django's File
    # passes it through from the file below, tempfile's and a range's do not.
    read = wrapper.filelike.read
    file: Any = getattr(read, "__self__", None)
    raw = file.raw if type(file) is BufferedReader else file
    if type(raw) is not FileIO or not isinstance(read, BuiltinMethodType) or read.__name__ != "read":
        raise ValueError(f"only one that open(path, 'rb') gave can; this is {wrapper.filelike!r:.100}")
    path = os.path.abspath(os.fsdecode(raw.name))
    path.encode()  # servers take text that is UTF-8
    facts = os.fstat(raw.fileno())
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError(f"{path} is no regular file")
    if not length or facts.st_size != length:
        raise ValueError(f"{path} has {facts.st_size} bytes, and Content-Length says {length}")
    if file.tell():
        raise ValueError(f"{path} has been read up to {file.tell()}")
    # Opened as the server will. It also keeps the file, and so its number, from going when the application closes
    # it; and its position is its own. Without waiting, should it be a pipe by now.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    taken = FileResponse(descriptor, path, length, by_descriptor=by_descriptor)
    if not os.path.samestat(os.fstat(descriptor), facts):
        raise ValueError(f"{path} is another file by now")
    return taken


def _is_at(path: str, facts: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), facts)
    except OSError:
        return False
