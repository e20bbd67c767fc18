"""The words of the matrix: applications, adapters, checks, results. Runs nothing and imports no framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from compat_matrix.servers import Recipe
    from compat_matrix.site import Site

Interface: TypeAlias = Literal["wsgi", "asgi"]
OutcomeName: TypeAlias = Literal["pass", "fail", "known", "n/a"]
CellState: TypeAlias = Literal["run", "missing", "not started", "interrupted"]


@dataclass(frozen=True)
class App:
    """One application of the matrix: the contract of endpoints (apps/README.md), as a framework's users write it."""

    name: str
    """Unique; the name in filters and test ids."""

    title: str
    """The framework's own spelling; what ``GET /`` greets from."""

    interface: Interface
    """What the target is."""

    target: str
    """``"module:attribute"``."""

    packages: tuple[str, ...]
    """Import names that must be there."""

    lacks: Mapping[str, str] = field(default_factory=dict)
    """Features of the contract that the framework does not have, each with the reason."""

    raw: bool = False
    """Without a framework: it has the raw endpoints (apps/README.md), and of the contract's only a few."""

    only: str | None = None
    """The one feature of the contract that it is there for: no other check is asked of it."""

    same_as: str | None = None
    """The application whose native run is the standard for this one; None for its own."""

    def missing(self) -> str | None:
        """Say which package is missing in this interpreter; None when the application can be imported."""
        return _missing(self.name, self.packages)


@dataclass(frozen=True)
class Adapter:
    """What turns an application into one that a server of the other interface can run."""

    name: str
    """The name in tables and filters; an adapter with two directions has one entry for each."""

    takes: Interface
    """What it wraps. What it gives is the other interface."""

    wrap: str
    """``"module:attribute"`` of the callable that takes the application."""

    packages: tuple[str, ...]
    """Import names that must be there."""

    servers: tuple[str, ...] | None = None
    """Recipes that it works with; None for all. A server's own wrapper is for that server."""

    def missing(self) -> str | None:
        """Say which package is missing in this interpreter; None when the adapter can be imported."""
        return _missing(self.name, self.packages)


NATIVE = "native"
"""Stands for the adapter where a server runs an application of its own interface."""


@dataclass(frozen=True)
class Check:
    """One behaviour that can be asked of an application on a server."""

    id: str
    """Dotted, lower case: ``http.response.truncated``."""

    meaning: str
    """One line: what has to be so."""

    clause: str
    """The rule that it stands on: PEP 3333, RFC 9110, RFC 9112, RFC 6265 or the ASGI specification, with section."""

    kind: Literal["oracle", "contract"]
    """*oracle*: what ``run`` returns must equal what it returns for the same application on a native server.
    *contract*: ``run`` raises if the behaviour is wrong; no other server is asked."""

    run: Callable[[Site], Any]
    """Makes the requests. Returns plain data (for an oracle check), or raises."""

    needs: tuple[str, ...] = ()
    """Features of the contract that it uses; not applicable to an application that lacks one."""

    where: Mapping[str, object] = field(default_factory=dict)
    """Facts that the server's recipe must have, by attribute."""

    interface: Interface | None = None
    """Only for applications of this interface."""

    raw: bool = False
    """Only for applications without a framework; the others are only for those with one."""

    def not_applicable(self, app: App, recipe: Recipe) -> str | None:
        """Say why the check cannot be asked of this application on this server; None when it can."""
        if self.interface is not None and app.interface != self.interface:
            return f"{app.name} is no {self.interface.upper()} application"
        if self.raw and not app.raw:
            return "asked of the applications without a framework"
        if app.raw and not self.raw:
            return "needs the contract's endpoints"
        if app.only is not None and app.only not in self.needs:
            return f"{app.name} has the endpoints of {app.only!r} alone"
        for feature in self.needs:
            if feature in app.lacks:
                return app.lacks[feature]
        for fact, value in self.where.items():
            if getattr(recipe, fact) != value:
                return f"{recipe.name}: {fact} is {getattr(recipe, fact)!r} there"
        return None


@dataclass(frozen=True)
class Place:
    """Where checks run: one cell of the matrix."""

    app: str
    server: str
    adapter: str


@dataclass(frozen=True)
class Evidence:
    """What a failure looked like. Bytes as text, latin-1; each part is cut to a bounded length."""

    request: str = ""
    answer: str = ""
    expected: str = ""
    """The native server's answer, for an oracle check."""

    log: str = ""
    """What the server wrote meanwhile."""


@dataclass(frozen=True)
class Outcome:
    """What came of one check in one place."""

    check: str
    outcome: OutcomeName
    reason: str = ""
    """Empty for a pass."""

    seconds: float = 0.0
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Cell:
    """Every outcome in one place."""

    place: Place
    outcomes: tuple[Outcome, ...]
    not_run: str = ""
    """Why not all of the checks have run; empty when they have."""

    state: CellState = "run"
    """*missing*: something is not installed. *not started*: the server was there and did not start. *interrupted*: the
    run ended early; the outcomes up to then are there."""

    def count(self, outcome: OutcomeName) -> int:
        """How many checks came out like this."""
        return sum(one.outcome == outcome for one in self.outcomes)


def _missing(name: str, packages: tuple[str, ...]) -> str | None:
    for package in packages:
        if find_spec(package) is None:
            return f"{name} needs {package!r}, which cannot be imported; the extra 'matrix' installs it"
    return None
