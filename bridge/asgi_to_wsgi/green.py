"""Real threads, and waiting for them, where gevent or eventlet has patched the process. Knows no request."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import time
from collections import deque
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from weakref import WeakKeyDictionary

from bridge.loop_thread import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

_Library = Literal["gevent", "eventlet"]


class Joinable(Protocol):
    """A thread as its starter sees it."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, or for *timeout* seconds; other greenlets run meanwhile."""
        ...

    def is_alive(self) -> bool:
        """Tell whether the thread still runs."""
        ...


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
    # Not there yet while another thread imports it, and then it has patched nothing.
    patched = getattr(gevent, "is_module_patched", None)
    if patched is not None and (patched("threading") or patched("socket")):
        return "gevent"
    eventlet: Any = sys.modules.get("eventlet.patcher")
    patched = getattr(eventlet, "is_monkey_patched", None)
    if patched is not None and (patched("thread") or patched("socket")):
        return "eventlet"
    return None


def make_signal() -> Wakeable:
    """Make what the thread that calls this waits on, or a greenlet of it; it holds no descriptor."""
    library = patched_by()
    if library is None:
        return Signal()
    # Not a queue.SimpleQueue: imported before the patch it is the native one, which stops every greenlet of the
    # thread, and after it is the library's, which breaks when a second thread of the system touches it.
    return _GeventSignal() if library == "gevent" else _EventletSignal()


def start_real_thread(function: Callable[[], None], name: str) -> Joinable:
    """Run *function* in a daemon thread of the operating system, even where threading.Thread makes greenlets.

    In such a thread a patched threading.Thread is a greenlet *of that thread*: it runs whenever what runs there
    waits by the library's means. new_event_loop() makes loops that wait so.

    Beware of locks under a patch: threading's are the library's then, and two threads of the system that want the
    same one may both wait for ever. Logging has such a lock for each handler: with 20 greenlets that logged beside
    a real thread, 17 runs of 18 failed under eventlet 0.41 and 4 of 18 under gevent 26.9, in a hang or a crash.
    """
    library = patched_by()
    if library is None:
        thread = threading.Thread(target=function, name=name, daemon=True)
        thread.start()
        return thread
    return _RealThread(function, name, library)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an asyncio event loop; call it in the thread of start_real_thread() that will run it.

    Under a patch the loop waits with the library's selector, whatever the policy says. With the system's, or in
    uvloop, the thread would wait without letting its greenlets run, and what asyncio, anyio and asgiref start as
    worker threads are such: run_in_executor(), to_thread.run_sync(), getaddrinfo() would wait for ever.
    """
    library = patched_by()
    if library is None:
        return asyncio.new_event_loop()
    if library == "gevent":
        return asyncio.SelectorEventLoop(import_module("gevent.selectors").GeventSelector())
    return asyncio.SelectorEventLoop(import_module("eventlet.green.selectors").DefaultSelector())


class _RealThread:
    """A thread of the operating system, started past the patch."""

    def __init__(self, function: Callable[[], None], name: str, library: _Library) -> None:
        self._function = function
        self._name = name
        self._library: _Library = library
        self._process = os.getpid()
        self.parked = False  # written by the thread itself, before it wakes who waits for that
        self._alive = True  # written by the thread itself, before it wakes who joins
        self._joining: deque[Wakeable] = deque()  # append: any thread; popleft: the thread itself
        self._call_in_hub: Callable[[Callable[[], None]], object] = _drop
        _spare_exit_the_greenlets()
        if library == "gevent":
            # The first hub of a process reads gevent's settings, which two threads at once get wrong.
            import_module("gevent").get_hub()
        _original(library, "start_new_thread")(self._run, ())

    def is_alive(self) -> bool:
        # No thread but the one that forks lives on in the child, where nobody is left to write _alive.
        return self._alive and self._process == os.getpid()

    def join(self, timeout: float | None = None) -> None:
        until = None if timeout is None else time.monotonic() + timeout
        signal = make_signal()
        # Before the thread is looked at: one that ends in between finds the signal.
        self._joining.append(signal)
        while self.is_alive():
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return
            signal.wait(left)

    def park(self, changed: Wakeable) -> None:
        """Stop the thread for ever, wherever it is, and wake *changed* once it is parked or has ended. Any thread."""
        lock: Any = _original(self._library, "allocate_lock")()

        def park() -> None:
            lock.acquire()
            self.parked = True
            changed.wake()
            lock.acquire()

        self._joining.append(changed)  # before the call, which is dropped where the thread has just ended
        self._call_in_hub(park)

    def _run(self) -> None:
        native_id: int = _original(self._library, "get_native_id")()
        try:
            threading.current_thread().name = self._name
            _give_each_greenlet_its_own_loop()
            self._call_in_hub = _entry_of_hub(self._library)
            _native_ids.add(native_id)
            _real_threads.add(self)
            self._function()
        except BaseException:  # a thread has no caller; threading.Thread does the same
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        finally:
            self._function = _nothing  # what it holds must not live as long as this handle
            _forget_greenlets({native_id})
            _native_ids.discard(native_id)
            _real_threads.discard(self)
            self._call_in_hub = _drop
            _end_hub(self._library)
            self._alive = False
            while self._joining:
                self._joining.popleft().wake()


def _nothing() -> None: ...


def _drop(_: object) -> None: ...


def _original(library: _Library, name: str) -> Any:
    if library == "gevent":
        return import_module("gevent.monkey").get_original("_thread", name)
    return getattr(import_module("eventlet.patcher").original("_thread"), name)


def _entry_of_hub(library: _Library) -> Callable[[Callable[[], None]], object]:
    """Return what calls a function in the hub of this thread, soon; any thread may use it."""
    if library == "eventlet":
        return _doorbell_here().ring
    loop: Any = import_module("gevent").get_hub().loop

    def ring(call: Callable[[], None]) -> None:
        try:
            # The one entry of a hub that is safe for threads. An async watcher of one's own would do the same
            # but has to be closed.
            loop.run_callback_threadsafe(call)
        except (AttributeError, ValueError):
            pass  # the hub was destroyed: its thread is over, and nobody is there to hear

    return ring


def _end_hub(library: _Library) -> None:
    """Give back the descriptors of this thread's hub, which neither library does at the end of a thread."""
    if library == "gevent":
        import_module("gevent").get_hub().destroy(destroy_loop=True)
        return
    hub: Any = import_module("eventlet.hubs").get_hub()
    if hub.running:
        hub.abort(wait=True)
    doorbell = _doorbells.pop(hub, None)
    if doorbell is not None:
        doorbell.close()
    close: Callable[[], None] | None = getattr(getattr(hub, "poll", None), "close", None)
    if close is not None:
        close()


def _give_each_greenlet_its_own_loop() -> None:
    """Keep the running loop, and its hooks for async generators, to the greenlet that runs it.

    asyncio keeps both for each thread of the system, so that a function in a "worker thread", here a greenlet
    of the loop's own thread, would find the loop running: asyncio.run() and asgiref's async_to_sync() refuse to
    work then, and two loops whose greenlets take turns would close each other's async generators.
    """
    greenlet: Any = import_module("greenlet")
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
    greenlet.settrace(exchange)


_real_threads: set[_RealThread] = set()  # add, discard: the thread itself
_native_ids: set[int] = set()  # theirs


def _spare_exit_the_greenlets() -> None:
    """See that no exit waits for workers of a ThreadPoolExecutor that are greenlets of real threads."""
    global _exit_is_spared
    if not _exit_is_spared:
        _exit_is_spared = True
        # First, since hooks are called in reverse and its own waits.
        import_module("concurrent.futures.thread")
        # Not atexit, which comes after the wait. Without this function the exit waits; nothing else breaks.
        register: Any = getattr(threading, "_register_atexit", _drop)
        register(lambda: _forget_greenlets(_native_ids))


_exit_is_spared = False


def _forget_greenlets(native_ids: set[int]) -> None:
    # concurrent.futures puts something into the queue of each worker and joins it. Another thread can do neither:
    # the queue belongs to a hub that is gone or runs elsewhere, so that the exit would fail or never end.
    queues: Any = getattr(import_module("concurrent.futures.thread"), "_threads_queues", {})
    for worker in list(queues):
        if worker.native_id in native_ids:
            queues.pop(worker, None)


def _park_all() -> None:
    """Stop what still runs before the interpreter goes away.

    Until Python 3.14 it ends a daemon thread that wants to go on by unwinding the thread's stack, and in a
    greenlet that is a patchwork: one exit in eight aborted when a loop was busy, one in a hundred with an idle one.
    """
    left = [thread for thread in list(_real_threads) if thread.is_alive()]
    if not left:
        return
    changed = make_signal()
    until = time.monotonic() + _PARK_TIMEOUT
    for thread in left:
        thread.park(changed)
    while any(thread.is_alive() and not thread.parked for thread in left) and (rest := until - time.monotonic()) > 0:
        changed.wait(rest)


# The longest that an exit waits for threads that do not return to their hub, in seconds. A guess.
_PARK_TIMEOUT: Final = 1.0

# Here and not with the first thread: so it is called after the hooks of what imports this and ends its threads.
atexit.register(_park_all)


class _GeventSignal:
    __slots__ = ("_event", "_ring", "_wake_pending")

    def __init__(self) -> None:
        self._event: Any = import_module("gevent.event").Event()
        self._ring = _entry_of_hub("gevent")
        self._wake_pending = False

    def wait(self, timeout: float | None = None) -> None:
        self._event.wait(timeout)
        # No greenlet runs in between, so that what was done before a wake is seen by the caller, who looks now.
        self._event.clear()

    def wake(self) -> None:
        if not self._wake_pending:
            # Set before the call, cleared by the hub before it sets the event, as in loop_thread.Mailbox.
            self._wake_pending = True
            self._ring(self._deliver)

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
    """The entry for other threads that eventlet's hub lacks: one pipe for all the signals of a hub."""

    def __init__(self, hub: Any) -> None:
        # The patched ones wait for the descriptor first, in the hub of whoever calls.
        original: Any = import_module("eventlet.patcher").original("os")
        self._os_read, self._os_write = original.read, original.write
        self._calls: deque[Callable[[], None]] = deque()  # append: any thread; popleft: the hub
        self._wake_pending = False
        self._closing: Any = _original("eventlet", "allocate_lock")()  # a pipe closed while rung: see ring()
        self._closed = False  # under _closing
        self._read, self._write = os.pipe()
        hub.add(hub.READ, self._read, self._answer, _drop, None)

    def ring(self, call: Callable[[], None]) -> None:
        """Have *call* called in the hub, soon. Any thread or greenlet; never blocks."""
        self._calls.append(call)
        if not self._wake_pending:
            # As in loop_thread.Mailbox. So the pipe never holds more than a byte for each thread, and is never full.
            self._wake_pending = True
            # Or else the byte might go into a file that was opened meanwhile and got the same number. Nobody who
            # holds the lock waits, or is a greenlet that gives way.
            with self._closing:
                if not self._closed:
                    self._os_write(self._write, b"\0")

    def close(self) -> None:
        """Give the pipe back; its hub is over. The hub's thread, or none where that is gone."""
        with self._closing:
            if not self._closed:
                self._closed = True
                os.close(self._read)
                os.close(self._write)

    def _answer(self, _descriptor: int) -> None:
        self._os_read(self._read, 4096)
        self._wake_pending = False
        for _ in range(len(self._calls)):
            self._calls.popleft()()

    def __del__(self) -> None:
        self.close()


# An entry ends with its hub, which nothing but its thread holds. A forked child has to make itself a hub, as eventlet
# asks with use_hub(), and so gets an entry of its own.
_doorbells: WeakKeyDictionary[Any, _Doorbell] = WeakKeyDictionary()


def _doorbell_here() -> _Doorbell:
    hub: Any = import_module("eventlet.hubs").get_hub()
    doorbell = _doorbells.get(hub)
    if doorbell is None:
        doorbell = _doorbells[hub] = _Doorbell(hub)
    return doorbell
