"""Twisted's WSGIResource: a pool of threads behind the reactor, bodies buffered whole."""

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.threads import deferToThread
from twisted.python.threadpool import ThreadPool
from twisted.web.server import Site
from twisted.web.wsgi import WSGIResource

from compat_matrix.launch.command_line import HOST, arguments, listening

reactor: Any = installed_reactor  # which interfaces it has is decided at run time
options, application = arguments()
pool = ThreadPool(maxthreads=options.threads)
pool.start()
# Each write of a worker thread waits for the reactor, so threads are joined while it still runs: once it has stopped,
# a response that is under way would wait for ever.
reactor.addSystemEventTrigger("before", "shutdown", deferToThread, pool.stop)
site = Site(WSGIResource(reactor, pool, application))  # type: ignore[no-untyped-call]
reactor.listenTCP(options.port, site, interface=HOST)
reactor.callWhenRunning(listening, options.port)
reactor.run()
