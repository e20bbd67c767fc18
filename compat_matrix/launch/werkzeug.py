"""Werkzeug's development server: a thread for each connection; ``--threads 0`` has none and speaks HTTP/1.0."""

from threading import Thread

from werkzeug.serving import make_server

from compat_matrix.launch.command_line import HOST, arguments, listening, on_sigterm

POLL_INTERVAL = 0.05  # seconds; serve_forever() looks that often whether it shall stop

options, application = arguments()
server = make_server(HOST, options.port, application, threaded=options.threads > 0)
# Werkzeug does not wait for threads that still answer; like this their responses are not cut at the end.
vars(server)["daemon_threads"] = False  # of a mixin that only the threaded server has
# shutdown() waits for the loop that the handler has interrupted, so it needs a thread of its own.
on_sigterm(lambda: Thread(target=server.shutdown).start())
listening(options.port)
server.serve_forever(POLL_INTERVAL)
