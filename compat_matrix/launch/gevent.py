"""gevent.pywsgi: a greenlet for each connection, everything monkey-patched."""

from gevent import monkey

monkey.patch_all()

# What follows shall find its modules patched.
import signal  # noqa: E402

import gevent  # noqa: E402
from gevent.pool import Pool  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

from compat_matrix.launch.command_line import HOST, arguments, listening  # noqa: E402

STOP_TIMEOUT = 5.0  # seconds that running requests have; idle connections are not told apart, so they use it up

options, application = arguments()
server = WSGIServer((HOST, options.port), application, spawn=Pool())
server.start()
# A greenlet for stop(), which waits: the hub must not.
gevent.signal_handler(signal.SIGTERM, server.stop, STOP_TIMEOUT)
listening(options.port)
server.serve_forever(STOP_TIMEOUT)
