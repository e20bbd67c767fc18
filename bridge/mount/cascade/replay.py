"""What the server says in one exchange, read once and given to each application anew. Knows no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from bridge.errors import ServerError
from bridge.mount.cascade.recording import Cursor, Recording

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from bridge.protocols import Message, Receive


class Replay:
    """The messages of the server's receive(): taken when an application asks, kept for the next one.

    Event loop. One application reads at a time: the one whose :class:`Reader` is not stopped.

    Args:
        receive: the server's.
        kind: of the scope, ``"http"`` or ``"websocket"``.
        memory: bytes of the body that are kept in memory; see :class:`Recording`.
        limit: bytes of the body that are kept. Once an application asks for what is beyond them, nothing is any more.
    """

    def __init__(self, receive: Receive, *, kind: str, memory: int, limit: int) -> None:
        self.receive = receive
        self.recording = Recording(memory)
        self.limit = limit
        self.lost = False
        """The body is longer than the limit: no other application can have it."""
        self.asking = False
        """The server is being asked, for the one that reads or for one that was stopped meanwhile."""
        self.farewell: Message = {"type": f"{kind}.disconnect"}
        if kind == "websocket":
            self.farewell["code"] = 1006  # no closing handshake; RFC 6455, 7.4.1
        self._opening: Message | None = None  # websocket.connect
        self._complete = False  # the last message of the body is recorded
        self._gone: Message | None = None
        self._error: Exception | None = None
        self._tasks: TaskGroup | None = None
        self._news: anyio.Event | None = None  # what those wait for who wait for the server

    def begin(self, tasks: TaskGroup) -> None:
        """Take the group in which receive() is awaited."""
        self._tasks = tasks

    def end(self) -> None:
        """Stop waiting for the server: no application does any more."""
        if self.asking and self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    async def close(self) -> None:
        """Give up what is kept."""
        await self.recording.close()

    async def again(self, reader: Reader) -> Message | None:
        """Return what *reader* has not had yet of what the server has said; None if it has had it all."""
        if self._opening is not None and not reader.opened:
            reader.opened = True
            return dict(self._opening)
        cursor = reader.cursor
        if cursor.position < self.recording.size or (self._complete and not reader.complete):
            body = await self.recording.read(cursor)
            reader.complete = self._complete and cursor.position == self.recording.size
            return {"type": "http.request", "body": body, "more_body": not reader.complete}
        if self._error is not None:
            raise self._error
        return None if self._gone is None else dict(self._gone)

    async def ask(self, reader: Reader) -> None:
        """Ask the server for what follows the last that *reader* had; return when there may be some."""
        if self._news is None:
            self._news = anyio.Event()
        if not self.asking and self._tasks is not None:
            self.asking = True
            # Said before anything is gone, and here: from now on no other application may begin.
            self.lost = self.lost or self.recording.size > self.limit
            # In a task of its own: the application that asks may be cancelled in it, as frameworks do with what
            # waits for a disconnect, or be refused. A message on its way then would be lost to the next one.
            self._tasks.start_soon(self._take, reader.cursor)
        await self._news.wait()

    async def _take(self, cursor: Cursor) -> None:
        try:
            if self.lost:
                await self.recording.forget(cursor)
            await self._record(await self.receive())
        except Exception as error:
            self._error = error  # for whoever asks
        finally:
            self.asking = False
            self.tell()

    async def _record(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.request":
            body = message.get("body")
            if body:
                await self.recording.append(body)
            if not message.get("more_body", False):
                self._complete = True  # Hypercorn says it a second time
        elif kind == "websocket.connect":
            self._opening = message
        elif kind == self.farewell["type"]:
            self._gone = message
        else:
            raise ServerError(f"before an answer, ASGI has no message {kind!r} to an application; the server sent one")

    def release(self, cursor: Cursor) -> None:
        """Give up the file soon, if *cursor*, of whom nobody comes after, has passed all that is in it."""
        if self.recording.on_disk and cursor.position == self.recording.size and self._tasks is not None:
            # Not awaited by the one that has just read: a cancellation there would lose what it has read.
            self._tasks.start_soon(self.recording.forget, cursor)

    def tell(self) -> None:
        """Let those look again who wait for the server."""
        if self._news is not None:
            self._news.set()
            self._news = None


class Reader:
    """The receive() of one application."""

    def __init__(self, replay: Replay) -> None:
        self.cursor = Cursor()
        self.opened = False  # has had websocket.connect
        self.complete = False  # has had the last message of the body
        self._replay = replay
        self._stopped = False
        self._settled = False
        self._direct = False

    async def receive(self) -> Message:
        """Give the application the exchange's next message; the server is asked once it has had all others."""
        replay = self._replay
        while not self._stopped:
            if self._direct:
                return await replay.receive()
            message = await replay.again(self)
            if message is not None:
                if self._settled:
                    replay.release(self.cursor)
                return message
            if not self._settled or replay.asking:
                await replay.ask(self)
            else:
                # Nobody reads this again, and nobody else is asking: from here on this is the server's own.
                self._direct = await replay.recording.forget(self.cursor)
        return dict(replay.farewell)

    async def settle(self) -> None:
        """Let this reader be the last: what it has read is kept no longer."""
        self._settled = True
        await self._replay.recording.forget(self.cursor)

    def stop(self) -> None:
        """Say to this application that the client has left: it has answered, and the answer is not wanted."""
        self._stopped = True
        self._replay.tell()
