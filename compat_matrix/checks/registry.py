"""How a function becomes a check. Knows no check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from compat_matrix.model import Check, Interface
from compat_matrix.site import Site

CHECKS: dict[str, Check] = {}
"""By id, in the order in which they were defined."""


class Failed(AssertionError):
    """A behaviour is not as it has to be; the message says what came instead."""


class NotApplicable(Exception):
    """A check finds that it cannot be asked here; the message says why."""


def _register(
    kind: Literal["oracle", "contract"],
    id: str,
    clause: str,
    needs: tuple[str, ...],
    interface: Interface | None,
    raw: bool,
    where: dict[str, object],
) -> Callable[[Callable[[Site], Any]], Callable[[Site], Any]]:
    def register(run: Callable[[Site], Any]) -> Callable[[Site], Any]:
        if id in CHECKS:
            raise ValueError(f"two checks with the id {id!r}")
        meaning = (run.__doc__ or "").strip()
        if not meaning or "\n" in meaning:
            raise ValueError(f"the docstring of {id!r} is its meaning: one line")
        CHECKS[id] = Check(id, meaning, clause, kind, run, needs, where, interface, raw)
        return run

    return register


def oracle(
    id: str,
    clause: str,
    *,
    needs: tuple[str, ...] = (),
    interface: Interface | None = None,
    raw: bool = False,
    **where: object,
) -> Callable[[Callable[[Site], Any]], Callable[[Site], Any]]:
    """Make a check of a function that returns what it saw, as plain data; the native run has to see the same.

    Its docstring, one line, is the check's meaning.

    Args:
        id: dotted, lower case.
        clause: the rule it stands on.
        needs: features of the contract (apps/README.md).
        interface: only for applications of this one.
        raw: only for the applications without a framework.
        where: facts of the server's recipe.
    """
    return _register("oracle", id, clause, needs, interface, raw, where)


def contract(
    id: str,
    clause: str,
    *,
    needs: tuple[str, ...] = (),
    interface: Interface | None = None,
    raw: bool = False,
    **where: object,
) -> Callable[[Callable[[Site], Any]], Callable[[Site], Any]]:
    """Make a check of a function that raises ``Failed`` (or any exception) where the behaviour is wrong.

    The arguments are those of :func:`oracle`.
    """
    return _register("contract", id, clause, needs, interface, raw, where)


def expect(name: str, value: object, expected: object) -> None:
    """Raise ``Failed`` unless the two are equal."""
    if value != expected:
        raise Failed(f"{name}: expected {_short(expected)}, got {_short(value)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"
