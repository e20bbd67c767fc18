"""wsgiref.simple_server: one request at a time, in the main thread."""

from threading import Thread
from wsgiref.simple_server import make_server

from compat_matrix.launch.command_line import HOST, arguments, listening, on_sigterm

POLL_INTERVAL = 0.05  # seconds; serve_forever() looks that often whether it shall stop

options, application = arguments()
server = make_server(HOST, options.port, application)
# shutdown() waits for the loop that the handler has interrupted, so it needs a thread of its own.
on_sigterm(lambda: Thread(target=server.shutdown).start())
listening(options.port)
server.serve_forever(POLL_INTERVAL)
server.server_close()
