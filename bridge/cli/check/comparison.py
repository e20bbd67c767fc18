"""What a client could tell two answers apart by. Pure: sends nothing, knows no adapter."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from bridge.cli.check.limits import SHOWN
from bridge.cli.check.model import Answer, Difference, Excused, Request
from bridge.http import HOP_BY_HOP

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLOCK: Final = "date"


class Varying:
    """What differs between native answers to one request, and so cannot be compared.

    Args:
        answers: to the same request, from before and after those that they are compared with.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        first = answers[0]
        self.status = any(answer.status != first.status for answer in answers)
        self.error = any((answer.error is None) != (first.error is None) for answer in answers)
        names = {name for answer in answers for name, _ in answer.headers}
        self.headers = {name for name in names if any(answer.header(name) != first.header(name) for answer in answers)}
        self.headers.add(_CLOCK)
        self.body = any(not same_body(answer, first) for answer in answers)
        if self.body:
            self.headers.add("content-length")

    def told(self) -> list[tuple[str, str]]:
        """Return what is not compared, and why."""
        why = "it differs between two native answers"
        told = [("status", why)] if self.status else []
        told += [(f"header {name}", why) for name in sorted(self.headers - {_CLOCK})]
        return [*told, ("body", why)] if self.body else told


def same_body(one: Answer, other: Answer) -> bool:
    """Whether two bodies are the same, as far as both were read."""
    if one.cut or other.cut:
        size = min(len(one.body), len(other.body))
        return one.body[:size] == other.body[:size]
    return one.body == other.body


def compare(
    request: Request, native: Answer, bridged: Answer, varying: Varying
) -> tuple[list[Difference], list[Excused]]:
    """Compare the bridge's answer with the native one.

    Returns:
        What differs, and what differs as it may: the length that the bridge adds, and headers of the
        connection, which it drops. The reason phrase is not compared, since ASGI has none, nor is Date.
    """
    path, method, mount = request.target, request.method, request.mount
    differences: list[Difference] = []
    excused: list[Excused] = []

    def differs(part: str, name: str, one: object, other: object) -> None:
        differences.append(Difference(path, method, mount, part, name, _short(one), _short(other)))  # type: ignore[arg-type]

    if (native.error is None) != (bridged.error is None) and not varying.error:
        differs("error", "", native.error or "none", bridged.error or "none")
    if native.status != bridged.status and not varying.status:
        differs("status", "", native.status, bridged.status)
    if native.status is None or bridged.status is None:
        return differences, excused
    dropped = _of_the_connection(native)
    for name in _names(native, bridged):
        one, other = native.header(name), bridged.header(name)
        if one == other or name in varying.headers:
            continue
        if name in dropped and not other:
            excused.append(Excused(path, method, mount, f"header {name}", "it belongs to the connection: dropped"))
        elif name == "content-length" and not other and native.status == 204:
            excused.append(Excused(path, method, mount, f"header {name}", "RFC 9110, 8.6 forbids it with 204: dropped"))
        elif name == "content-length" and not one and other == [str(len(native.body))]:
            excused.append(Excused(path, method, mount, f"header {name}", "the bridge adds the length that it knows"))
        else:
            differs("header", name, ", ".join(one) if one else "none", ", ".join(other) if other else "none")
    # RFC 9110, 9.3.2: an answer to HEAD has no body; a server takes away what an application sends all the same.
    if method != "HEAD" and not varying.body and not same_body(native, bridged):
        differs("body", "", *_where(native.body, bridged.body))
    return differences, excused


def in_each(rounds: Sequence[Sequence[Difference]]) -> list[Difference]:
    """Return the differences of the first round that each round has."""
    counts = Counter((found.part, found.name) for differences in rounds for found in differences)
    return [found for found in rounds[0] if counts[found.part, found.name] == len(rounds)] if rounds else []


def _names(native: Answer, bridged: Answer) -> list[str]:
    return list(dict.fromkeys(name for name, _ in [*native.headers, *bridged.headers]))


def _of_the_connection(answer: Answer) -> set[str]:
    """Return the names that the bridge drops. Source: RFC 9110, 7.6.1."""
    named = {name.strip(" \t").lower() for value in answer.header("connection") for name in value.split(",")}
    return named | HOP_BY_HOP


def _where(one: bytes, other: bytes) -> tuple[str, str]:
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return tuple(  # type: ignore[return-value]  # of two
        f"{len(body)} bytes, from byte {at} on: {body[at : at + SHOWN // 4]!r}" for body in (one, other)
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"
