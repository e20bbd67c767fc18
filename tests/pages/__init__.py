"""Pages that are opened in a browser, and what the applications that serve them share. Knows no application."""

import os
from pathlib import Path

PAGES = Path(__file__).parent


def log(line: str) -> None:
    """Write a line into the server's log, in one piece."""
    os.write(1, f"{line}\n".encode())
