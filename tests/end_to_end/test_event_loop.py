"""Awaiting from a WSGI application: on the event loop of the server, not on one of its own."""

import httpx
import pytest


def test_application_can_await_on_the_servers_loop(client: httpx.Client) -> None:
    """bridge.run_async: the application stays in a worker thread, what it awaits runs on the loop."""
    assert client.get("/awaits").json() == {"application in main thread": False, "awaited in": "main thread"}


@pytest.mark.where(event_loop="asyncio")
def test_flask_async_view_runs_on_the_servers_loop(client: httpx.Client) -> None:
    """asgiref's async_to_sync, which Flask uses, is told which loop the exchange came from."""
    assert client.get("/flask/async-view").text == "main thread"


@pytest.mark.where(event_loop="asyncio")
def test_async_client_of_a_module_works_over_many_requests(client: httpx.Client) -> None:
    """Its connection is opened in the first request and used again in each later one."""
    ports = [client.get("/flask/async-client").json()["port"] for _ in range(20)]

    assert len(set(ports)) == 1


def test_flask_async_view_streams_its_response(client: httpx.Client) -> None:
    """On trio too, where the view has to run on an asyncio loop of its own."""
    assert client.get("/flask/async-stream").text == "chunk 0\nchunk 1\nchunk 2\n"
