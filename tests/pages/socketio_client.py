"""The script of npm's socket.io-client: downloaded once, checked, kept. Knows no test and no browser."""

from __future__ import annotations

import hashlib
import io
import os
import ssl
import tarfile
from base64 import b64decode
from pathlib import Path

import httpx

_PACKAGE = "socket.io-client"
_VERSION = "4.8.3"
# What the registry calls its integrity: the SHA-512 of the archive.
_SHA512 = b64decode("uP0bpjWrjQmUt5DTHq9RuoCBdFJF10cdX9X+a368j/Ft0wmaVgxlrjvK3kjvgCODOMMOz9lcaRzxmso0bTWZ/g==")
_SCRIPT = "package/dist/socket.io.min.js"
_REGISTRY = "https://registry.npmjs.org"
_TIMEOUT = 20.0  # seconds


class CannotDownloadError(RuntimeError):
    """The registry cannot be reached, or does not have it."""


def script(folder: Path) -> str:
    """Return the script, out of an archive that is kept in *folder* and downloaded if it is not there.

    Raises:
        CannotDownloadError: the registry does not give it.
        ValueError: it gives another one.
    """
    kept = folder / f"{_PACKAGE}-{_VERSION}.tgz"
    archive = kept.read_bytes() if kept.exists() else b""
    if not _right(archive):
        archive = _download(f"{_registry()}/{_PACKAGE}/-/{kept.name}")
        if not _right(archive):
            raise ValueError(f"{_registry()} gives another {kept.name}: its SHA-512 is not that of npm's registry")
        kept.write_bytes(archive)
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        found = members.extractfile(_SCRIPT)
        if found is None:
            raise ValueError(f"{_SCRIPT} is no file in {kept}")
        return found.read().decode()


def _right(archive: bytes) -> bool:
    return hashlib.sha512(archive).digest() == _SHA512


def _registry() -> str:
    # npm takes its settings from the environment in either case.
    settings = {name.lower(): value for name, value in os.environ.items()}
    return (settings.get("npm_config_registry") or _REGISTRY).rstrip("/")


def _download(url: str) -> bytes:
    # The system's certificates, as npm itself would be told to use; httpx has others of its own.
    context = ssl.create_default_context()
    if extra := os.environ.get("NODE_EXTRA_CA_CERTS"):
        context.load_verify_locations(extra)
    try:
        return httpx.get(url, verify=context, timeout=_TIMEOUT, follow_redirects=True).raise_for_status().content
    except httpx.HTTPError as error:
        raise CannotDownloadError(f"{url} cannot be downloaded: {error}") from error
