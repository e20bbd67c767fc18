"""The ASGI application that receives and sends large bodies, through a2wsgi."""

from benchmarks.applications import transfer_asgi
from benchmarks.asgi_wrappers import through_a2wsgi

application = through_a2wsgi(transfer_asgi)
