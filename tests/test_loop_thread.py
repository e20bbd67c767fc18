"""Crossing between a thread and an event loop: nothing is lost, and nothing is called twice."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from typing import Any

import anyio
import pytest

from bridge.loop_thread import (
    Counter,
    Crossing,
    LoopClosed,
    Mailbox,
    Signal,
    cross_with_anyio,
    mailbox_here,
    run_in_thread,
)
from tests.asgi import TIMEOUT, happened, on_asyncio, on_trio, wait


@pytest.fixture(params=["eventfd", "call_soon_threadsafe"])
def wake_ups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one each time a thread wakes an event loop, in either of the ways in which that is done."""
    calls: list[object] = []
    if request.param == "eventfd":
        if not hasattr(os, "eventfd"):
            pytest.skip("this system has no eventfd")
        place: Any = os
        name = "eventfd_write"
    else:
        monkeypatch.delattr(os, "eventfd", raising=False)
        place, name = asyncio.SelectorEventLoop, "call_soon_threadsafe"
    wake = getattr(place, name)

    def count(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return wake(*args, **options)

    monkeypatch.setattr(place, name, count)
    return calls


@on_asyncio
async def test_letters_of_many_threads_arrive_once_and_in_order(wake_ups: list[object]) -> None:
    """Each thread's letters come in the order it posted them; none is lost, none is delivered twice."""
    threads, letters = 8, 500
    mailbox = Mailbox(asyncio.get_running_loop())
    arrived: list[tuple[int, int]] = []
    everything = asyncio.Event()

    def post(number: int) -> None:
        for letter in range(letters):
            mailbox.post(lambda letter=letter: take(number, letter))  # type: ignore[misc]

    def take(number: int, letter: int) -> None:
        arrived.append((number, letter))
        if len(arrived) == threads * letters:
            everything.set()

    posters = [threading.Thread(target=post, args=(number,)) for number in range(threads)]
    for poster in posters:
        poster.start()
    with anyio.fail_after(TIMEOUT):
        await everything.wait()
    for poster in posters:
        poster.join(TIMEOUT)

    assert sorted(arrived) == [(number, letter) for number in range(threads) for letter in range(letters)]
    for number in range(threads):
        assert [letter for poster, letter in arrived if poster == number] == list(range(letters))


def test_letters_ride_on_the_wake_up_that_is_under_way(wake_ups: list[object]) -> None:
    """DESIGN, "Cost": while the loop is busy, any number of letters costs one wake-up."""
    loop = asyncio.SelectorEventLoop()
    mailbox = Mailbox(loop)
    arrived: list[int] = []
    for letter in range(100):
        mailbox.post(lambda letter=letter: arrived.append(letter))  # type: ignore[misc]

    assert len(wake_ups) == 1
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    assert arrived == list(range(100))


def test_letter_that_is_posted_by_a_letter_arrives(wake_ups: list[object]) -> None:
    """It has a wake-up of its own, so that posting without end cannot keep the loop from its sockets."""
    loop = asyncio.SelectorEventLoop()
    mailbox = Mailbox(loop)
    order: list[str] = []

    def first() -> None:
        order.append("first")
        mailbox.post(lambda: order.append("second"))
        loop.call_soon(order.append, "something else")

    async def run() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    mailbox.post(first)
    loop.run_until_complete(run())
    loop.close()

    assert (sorted(order), order[0], len(wake_ups)) == (["first", "second", "something else"], "first", 2)


def test_every_letter_to_a_closed_loop_is_refused() -> None:
    """Not only the first: each thread that posts has to learn that nobody listens."""
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    loop.close()

    for _ in range(3):
        with pytest.raises(LoopClosed):
            mailbox.post(lambda: None)


def test_mailbox_leaves_no_descriptor() -> None:
    """Whether its loop is closed before it is collected, or goes with it."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        loop = asyncio.new_event_loop()
        mailbox = Mailbox(loop)
        mailbox.post(lambda: None)
        loop.close()
        del mailbox, loop
    gc.collect()

    assert len(os.listdir("/proc/self/fd")) == before


@on_asyncio
async def test_loop_has_one_mailbox() -> None:
    """All exchanges on a loop share its wake-ups."""
    mailbox = mailbox_here()

    assert mailbox is not None
    assert mailbox is mailbox_here()
    assert mailbox.loop is asyncio.get_running_loop()


@on_trio
async def test_trio_has_no_mailbox() -> None:
    """The mailbox is asyncio's fast path."""
    assert mailbox_here() is None


@on_trio
async def test_letter_of_the_loops_own_thread_is_called() -> None:
    """An async view of trio that run_async() awaits has the application's callables in its hands."""
    called: list[int] = []

    async def post(crossing: Crossing) -> None:
        crossing.post(lambda: called.append(threading.get_ident()))

    await cross_with_anyio(post)

    assert called == [threading.get_ident()]


def test_letter_to_a_closed_loop_with_a_wake_up_under_way_is_refused() -> None:
    """Nobody takes the wake-up any more, so nobody would take the letter."""
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    mailbox.post(lambda: None)
    loop.close()

    with pytest.raises(LoopClosed):
        mailbox.post(lambda: None)


def test_thread_without_a_loop_has_no_mailbox() -> None:
    """Nor has a thread that runs none."""
    assert mailbox_here() is None


async def test_function_that_blocks_runs_in_a_thread_of_its_own() -> None:
    """The loop goes on meanwhile, here to release the function."""
    from bridge.loop_thread import cross_with_anyio

    go, results = threading.Event(), []

    def block() -> str:
        wait(go)
        return threading.current_thread().name

    async def run(crossing: Any) -> None:
        async with anyio.create_task_group() as tasks:

            async def release() -> None:
                go.set()

            tasks.start_soon(release)
            results.append(await run_in_thread(crossing, "bridge-test", block))

    mailbox = mailbox_here()
    with anyio.fail_after(TIMEOUT):
        await (run(mailbox) if mailbox is not None else cross_with_anyio(run))

    assert results == ["bridge-test"]


async def test_signal_that_was_given_before_is_not_waited_for() -> None:
    """Whoever wakes does not know whether the other waits already."""
    signal, over = Signal(), threading.Event()
    signal.wake()

    def waits() -> None:
        signal.wait()
        over.set()

    thread = threading.Thread(target=waits)
    thread.start()
    await happened(over)
    thread.join(TIMEOUT)


async def test_signal_releases_a_thread_that_waits() -> None:
    """From the event loop, without blocking it."""
    signal, begun, over = Signal(), threading.Event(), threading.Event()

    def waits() -> None:
        begun.set()
        signal.wait()
        over.set()

    thread = threading.Thread(target=waits)
    thread.start()
    await happened(begun)
    assert not over.is_set()
    signal.wake()
    await happened(over)
    thread.join(TIMEOUT)


def test_counter_loses_nothing() -> None:
    """Several loops count at once."""
    counter = Counter()

    def count() -> None:
        for _ in range(5000):
            counter.add()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)

    assert counter.value == 20_000
