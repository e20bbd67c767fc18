"""A request and its answer, as simple as they come."""

from __future__ import annotations

from typing import Any

from compat_matrix.checks.observe import asked
from compat_matrix.checks.registry import contract, expect, oracle
from compat_matrix.site import Site


@oracle("http.response.text", "RFC 9110, 15.3.1")
def text(site: Site) -> Any:
    """A short text arrives as it does at home."""
    return asked(site, "GET", "/")


@oracle("http.response.json", "RFC 9110, 15.3.1")
def json(site: Site) -> Any:
    """A JSON answer arrives as it does at home."""
    return asked(site, "GET", "/json")


@contract("http.response.right", "RFC 9110, 15.3.1")
def right(site: Site) -> None:
    """The answer is not only the same as elsewhere, but the right one."""
    response = site.get("/")
    expect("status", response.status, 200)
    expect("body", response.body, f"Hello from {site.app.title}\n".encode())
