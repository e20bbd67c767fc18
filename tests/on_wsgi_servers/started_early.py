"""The same applications, started when this module is imported: in the parent process, where a server forks."""

from tests.on_wsgi_servers.applications import ADAPTERS, served

__all__ = ["served"]

ADAPTERS["living"].startup()
