"""The Flask application's event streams through bridge, with four threads."""

import bridge
from benchmarks.streams import flask_application
from benchmarks.streams.beside import with_control

application = with_control(bridge.WsgiToAsgi(flask_application.application, threads=4))
