"""Daphne: Twisted on top of an asyncio event loop."""

import re
import sys

from compat_matrix.servers.recipe import Recipe


def _command(target: str, port: int) -> list[str]:
    return [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), target]


DAPHNE = Recipe(
    name="daphne",
    interface="asgi",
    package="daphne",
    command=_command,
    ready=re.compile(r"Listening on TCP address "),
    http2=False,
    lifespan=False,
    event_loop="asyncio",
    mount_option="--root-path",
    quiet=("--access-log", "/dev/null"),
    streams_body=False,
    lazy_continue=False,
    graceful_stop=False,
    # http_protocol.py, process(): all messages of a body are put into a queue before the application takes the first.
    body_in_memory=True,
    # http_protocol.py, handle_reply: transport.write() without registerProducer().
    holds_back=False,
    denies_websockets=False,
    # ws_protocol.py, serverClose(): the reason is not taken from the message.
    sends_close_reason=False,
    says_why_it_closes=False,
    # ws_protocol.py, handle_reply(): neither text nor bytes that are empty.
    sends_empty_messages=False,
    # http_protocol.py, handle_exception: a second start message is sent, refused by daphne itself, and the connection
    # stays open; Server.application_checker, which called it, is never scheduled again.
    cuts_failed_response=False,
    survives_failed_response=False,
)
