"""The Django application's event streams through bridge, with four threads."""

import bridge
from benchmarks.streams import django_application
from benchmarks.streams.beside import with_control

application = with_control(bridge.WsgiToAsgi(django_application.application, threads=4))
