"""eventlet.wsgi: a greenlet for each connection, everything monkey-patched."""

import os

# Beside trio, eventlet's patch of dnspython fails at import.
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")

import eventlet

eventlet.monkey_patch()

# What follows shall find its modules patched.
import signal  # noqa: E402
import socket  # noqa: E402

from eventlet import wsgi  # noqa: E402

from compat_matrix.launch.command_line import HOST, arguments, listening, on_sigterm  # noqa: E402

options, application = arguments()
listener = eventlet.listen((HOST, options.port))
main = eventlet.getcurrent()

# An exception out of a handler would end whichever greenlet runs. The byte that a signal leaves in the socket
# wakes the hub, and a greenlet of its own stops the server.
signalled, wakeup = socket.socketpair()
wakeup.setblocking(False)
signal.set_wakeup_fd(wakeup.fileno())
on_sigterm(lambda: None)


def stop() -> None:
    signalled.recv(1)
    eventlet.kill(main, SystemExit)


eventlet.spawn(stop)
listening(options.port)
wsgi.server(listener, application, debug=False)  # else clients get tracebacks
