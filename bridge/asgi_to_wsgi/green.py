"""Threads, loops, and waiting for them, where gevent or eventlet has patched the process. Knows no request."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from weakref import WeakKeyDictionary, WeakSet

from bridge.errors import ConfigurationError
from bridge.loop_thread import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

_Library = Literal["gevent", "eventlet"]


class Wakeable(Protocol):
    """What one thread or greenlet waits for and any other ends; ``bridge.loop_thread.Signal`` is one."""

    def wait(self, timeout: float | None = None) -> None:
        """Block until wake() was called, or for *timeout* seconds; the caller looks whether to wait again."""
        ...

    def wake(self) -> None:
        """Release who waits, or the next that will. Any thread or greenlet; never blocks, never raises."""
        ...


def patched_by() -> _Library | None:
    """Tell which library has monkey-patched this process.

    Asked anew each time, since the patch may come after the import of bridge (``gunicorn --preload``): two
    look-ups in a dictionary where nothing is patched.
    """
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent is not None:
        # Not there yet while another thread imports it, and then it has patched nothing.
        patched = getattr(gevent, "is_module_patched", None)
        if patched is not None and (patched("threading") or patched("socket")):
            return "gevent"
    eventlet: Any = sys.modules.get("eventlet.patcher")
    if eventlet is not None:
        patched = getattr(eventlet, "is_monkey_patched", None)
        if patched is not None and (patched("thread") or patched("socket")):
            return "eventlet"
    return None


def check_backend(backend: str, loop_factory: object | None) -> None:
    """Refuse loops that would stop every greenlet of a patched process, or cannot be made there.

    Raises:
        ConfigurationError: the process is patched, and *backend* is ``"trio"`` or there is a *loop_factory*.
    """
    library = patched_by()
    if library is None:
        return
    if backend == "trio":
        raise ConfigurationError(
            f"backend='trio' cannot be used in a process that {library} has patched: {library} takes away "
            "select.epoll, which trio needs. Use backend='asyncio' or a server that patches nothing."
        )
    if loop_factory is not None:
        raise ConfigurationError(
            f"loop_factory cannot be used in a process that {library} has patched: the loop has to wait by "
            f"{library}'s means, and any other stops all greenlets; got {loop_factory!r}"
        )


def make_signal() -> Wakeable:
    """Make what the thread that calls this waits on, or a greenlet of it; it holds no descriptor."""
    library = patched_by()
    if library is None:
        return Signal()
    # Not a queue.SimpleQueue: imported before the patch it is the native one, which stops every greenlet of the
    # thread, and after it is the library's, which breaks when a second thread of the system touches it.
    return _GeventSignal() if library == "gevent" else _EventletSignal()


def start_thread(function: Callable[[], None], name: str) -> threading.Thread:
    """Run *function* in a daemon thread: under a patch, a greenlet of the thread of the system that calls this.

    Past the patch it could be a thread of the system, but then the locks of threading, which are the library's,
    may be wanted by two of those at once, and hang or crash: with 20 greenlets that logged beside such a thread, 17
    runs of 18 failed under eventlet 0.41 and 4 of 18 under gevent 26.9, and none of 12 with a greenlet instead.
    """
    library = patched_by()
    if library is not None:
        _give_each_greenlet_its_own_loop(library)
    thread = threading.Thread(target=function, name=name, daemon=True)
    thread.start()
    return thread


def join(thread: threading.Thread, timeout: float) -> bool:
    """Wait until *thread*, of start_thread(), has ended, *timeout* seconds at most; return whether it has."""
    try:
        thread.join(timeout)
    except BaseException as error:
        # From Python 3.13 on eventlet's raises its Timeout. Only that one: the caller may be under one of its own.
        if getattr(error, "seconds", None) is not timeout:
            raise
    return not thread.is_alive()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an asyncio event loop; call it in the thread of start_thread() that will run it.

    Under a patch the loop waits with the library's selector, whatever the policy says, so that the greenlets beside
    it go on: requests, other loops, and what asyncio, anyio and asgiref start as worker threads.
    """
    library = patched_by()
    if library is None:
        return asyncio.new_event_loop()
    if library == "gevent":
        selector = import_module("gevent.selectors").GeventSelector()
        _stop_in_children(selector)
        return asyncio.SelectorEventLoop(selector)
    return asyncio.SelectorEventLoop(import_module("eventlet.green.selectors").DefaultSelector())


def _stop_in_children(selector: Any) -> None:
    """Let the loop of *selector* do nothing in a forked child.

    Under gevent greenlets come along with a fork, and the loop would take what was sent to its parent's, beginning
    with the bytes that wake that. Eventlet's stay behind: it asks a child for use_hub(), which forgets them.
    """
    select: Callable[[float | None], Any] = selector.select
    process = os.getpid()

    def select_in_parent(timeout: float | None = None) -> Any:
        events = select(timeout)
        if os.getpid() != process:
            selector.close()  # or else the hub looks after the parent's descriptors
            while True:
                threading.Event().wait()
        return events

    selector.select = select_in_parent


def _give_each_greenlet_its_own_loop(library: _Library) -> None:
    """Keep the running loop, and its hooks for async generators, to the greenlet that runs it.

    asyncio keeps both for each thread of the system, so that all greenlets of one would find the loop running:
    asyncio.run() and asgiref's async_to_sync() refuse to work then, no second loop can run, and each would close the
    async generators of the other.
    """
    greenlet: Any = import_module("greenlet")
    main = greenlet.getcurrent()
    while main.parent is not None:
        main = main.parent
    # Once for each thread of the system, which its main greenlet stands for, also in a forked child.
    if main in _traced:
        return
    _traced.add(main)
    kept: WeakKeyDictionary[Any, tuple[asyncio.AbstractEventLoop, Any, Any]] = WeakKeyDictionary()

    def exchange(event: str, switch: tuple[Any, Any]) -> None:
        # Called in this thread only, in the greenlet that goes on, before it does.
        if event in ("switch", "throw"):
            origin, target = switch
            running = asyncio._get_running_loop()
            if running is not None:
                hooks = sys.get_asyncgen_hooks()
                kept[origin] = (running, hooks.firstiter, hooks.finalizer)
            loop, first_iterated, finalized = kept.pop(target, (None, None, None))
            if loop is not running:
                asyncio._set_running_loop(loop)
                sys.set_asyncgen_hooks(first_iterated, finalized)
        if earlier is not None:
            earlier(event, switch)

    earlier: Callable[[str, tuple[Any, Any]], None] | None = greenlet.gettrace()
    if library == "eventlet" and hasattr(hub := import_module("eventlet.hubs").get_hub(), "loop"):
        # This hub is a loop of asyncio, which runs for itself from now on.
        exchange("switch", (hub.greenlet, greenlet.getcurrent()))
    greenlet.settrace(exchange)


# Main greenlets. Each is added by its own thread of the system.
_traced: WeakSet[Any] = WeakSet()


_HOUR: Final = 3600.0  # seconds


class _GeventSignal:
    __slots__ = ("_event", "_hub", "_wake_pending")

    def __init__(self) -> None:
        self._event: Any = import_module("gevent.event").Event()
        self._hub: Any = import_module("gevent").get_hub()
        self._wake_pending = False

    def wait(self, timeout: float | None = None) -> None:
        # Never without end: gevent raises LoopExit if nothing but another thread of the system can wake.
        self._event.wait(_HOUR if timeout is None else timeout)
        # No greenlet runs in between, so that what was done before a wake is seen by the caller, who looks now.
        self._event.clear()

    def wake(self) -> None:
        if not self._wake_pending:
            # Set before the call, cleared by the hub before it sets the event, as in loop_thread.Mailbox.
            self._wake_pending = True
            try:
                # The one entry of a hub that is safe for other threads of the system, which applications may have.
                self._hub.loop.run_callback_threadsafe(self._deliver)
            except (AttributeError, ValueError):
                pass  # the hub was destroyed: its thread is over, and nobody is there to hear

    def _deliver(self) -> None:
        self._wake_pending = False
        self._event.set()


class _EventletSignal:
    __slots__ = ("_doorbell", "_semaphore", "_wake_pending")

    def __init__(self) -> None:
        self._semaphore: Any = import_module("eventlet.semaphore").Semaphore(0)
        self._doorbell = _doorbell_here()
        self._wake_pending = False

    def wait(self, timeout: float | None = None) -> None:
        self._semaphore.acquire(timeout=timeout)

    def wake(self) -> None:
        if not self._wake_pending:
            self._wake_pending = True  # cleared by the hub before it releases, as above
            self._doorbell.ring(self._deliver)

    def _deliver(self) -> None:
        self._wake_pending = False
        if self._semaphore.counter <= 0:  # one is enough, however many were not waited for
            self._semaphore.release()


class _Doorbell:
    """The entry for other threads of the system that eventlet's hub lacks: one pipe for all the signals of a hub."""

    def __init__(self, hub: Any) -> None:
        # The patched ones wait for the descriptor first, in the hub of whoever calls.
        original: Any = import_module("eventlet.patcher").original("os")
        self._os_read, self._os_write = original.read, original.write
        self._calls: deque[Callable[[], None]] = deque()  # append: any thread; popleft: the hub
        self._wake_pending = False
        self._read, self._write = os.pipe()
        hub.add(hub.READ, self._read, self._answer, _drop, None)

    def ring(self, call: Callable[[], None]) -> None:
        """Have *call* called in the hub, soon. Any thread or greenlet; never blocks."""
        self._calls.append(call)
        if not self._wake_pending:
            # As in loop_thread.Mailbox. So the pipe never holds more than a byte for each thread, and is never full.
            self._wake_pending = True
            self._os_write(self._write, b"\0")

    def _answer(self, _descriptor: int) -> None:
        self._os_read(self._read, 4096)
        self._wake_pending = False
        for _ in range(len(self._calls)):
            self._calls.popleft()()

    def __del__(self) -> None:
        # Neither its hub is left, nor any signal.
        os.close(self._read)
        os.close(self._write)


def _drop(_: object) -> None: ...


# An entry ends with its hub, which nothing but its thread holds. A forked child has to make itself a hub, as eventlet
# asks with use_hub(), and so gets an entry of its own.
_doorbells: WeakKeyDictionary[Any, _Doorbell] = WeakKeyDictionary()


def _doorbell_here() -> _Doorbell:
    hub: Any = import_module("eventlet.hubs").get_hub()
    doorbell = _doorbells.get(hub)
    if doorbell is None:
        doorbell = _doorbells[hub] = _Doorbell(hub)
    return doorbell
