"""bridge.rfc6455 and the table of what may follow what, against RFC 6455."""

from __future__ import annotations

import pytest

from bridge.rfc6455 import accept_token, check_close, sendable, size_of
from bridge.wsgi_to_asgi.websocket_order import NEXT, WRONG, Phase, Signal


def test_accept_token_is_that_of_the_standards_example() -> None:
    """RFC 6455, 1.3."""
    assert accept_token("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1014, 3000, 4999])
def test_code_that_may_be_sent(code: int) -> None:
    """RFC 6455, 7.4.1 and 7.4.2, and IANA's registry."""
    check_close(code, "é" * 61)

    assert sendable(code) == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, None, "1000"])
def test_code_that_may_not_be_sent(code: int) -> None:
    """RFC 6455, 7.4.1: 1005, 1006 and 1015 must not be set; what is below 1000 is not used."""
    with pytest.raises(ValueError, match="close code"):
        check_close(code, "")
    assert sendable(code) == 1000


@pytest.mark.parametrize("reason", ["é" * 62, "x" * 124, b"bytes"])
def test_reason_has_to_fit_a_control_frame(reason: str) -> None:
    """RFC 6455, 5.5: 125 bytes, two of which are the code."""
    with pytest.raises(ValueError, match="123 bytes"):
        check_close(1000, reason)


def test_size_is_that_on_the_wire() -> None:
    """RFC 6455, 5.6: text is UTF-8."""
    assert [size_of("ab"), size_of("é€"), size_of(b"\xff")] == [2, 5, 1]


def test_every_pair_is_allowed_or_has_its_text() -> None:
    """But for those after a close, which changes nothing and is told otherwise."""
    ended = {(Phase.CLOSED, did) for did in (Signal.SEND, Signal.RECEIVE, Signal.CLOSE)}
    pairs = {(phase, did) for phase in Phase for did in Signal}

    assert pairs - set(NEXT) - set(WRONG) == ended
    assert not set(NEXT) & set(WRONG)
