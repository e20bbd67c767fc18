"""The ASGI application that receives and sends large bodies, through bridge, on a loop for each request."""

from benchmarks.applications import transfer_asgi
from benchmarks.asgi_wrappers import through_bridge

application = through_bridge(transfer_asgi, loop="request")
