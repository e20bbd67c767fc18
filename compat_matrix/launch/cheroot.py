"""Cheroot, CherryPy's server: a pool of threads."""

from cheroot.wsgi import Server

from compat_matrix.launch.command_line import HOST, arguments, leave, listening, on_sigterm

options, application = arguments()
server = Server((HOST, options.port), application, numthreads=options.threads)
server.prepare()
on_sigterm(leave)
listening(options.port)
try:
    server.serve()
finally:
    server.stop()
