"""Apache with mod_wsgi: this process becomes Apache, which runs the application itself or in a daemon process.

Needs Debian's apache2 and a mod_wsgi that was built for this interpreter (PyPI's, which needs apache2-dev).
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from shutil import which
from subprocess import run

from compat_matrix.launch.command_line import HOST, THREADS

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--daemon", action="store_true", help="a process for the application beside Apache's")
parser.add_argument("target", help="module:attribute")
options = parser.parse_args()

apache = which("apache2", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or sys.exit("apache2 is not installed")
express = Path(sys.executable).with_name("mod_wsgi-express")
module = run([express, "module-location"], capture_output=True, text=True, check=True).stdout.strip()
script = Path(__file__).with_name("apache_script.py")
here = f"{tempfile.gettempdir()}/compat-matrix-{os.getpid()}"  # Apache takes away what it puts there

DAEMON = [
    f"WSGISocketPrefix {here}",
    f"WSGIDaemonProcess app processes=1 threads={THREADS} python-home={sys.prefix} python-path={os.getcwd()}",
    "WSGIProcessGroup app",
]
DIRECTIVES = [
    f"ServerRoot {tempfile.gettempdir()}",
    f"PidFile {here}.pid",
    f"Listen {HOST}:{options.port}",
    f"ServerName {HOST}",
    *(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in ("mpm_event", "authz_core")),
    f"LoadModule wsgi_module {module}",
    "ErrorLog /dev/stderr",
    "LogLevel info",
    # One process, so that what one request leaves in the application is there for the next.
    "StartServers 1",
    "ServerLimit 1",
    f"ThreadLimit {THREADS}",
    f"ThreadsPerChild {THREADS}",
    f"MaxRequestWorkers {THREADS}",
    "MinSpareThreads 1",
    f"MaxSpareThreads {THREADS}",
    f"WSGIPythonHome {sys.prefix}",
    *(DAEMON if options.daemon else ()),
    "WSGIRestrictStdout Off",
    "WSGIApplicationGroup %{GLOBAL}",
    "WSGIChunkedRequest On",
    "WSGIPassAuthorization On",  # else the header is Apache's alone
    "AllowEncodedSlashes On",
    "UseCanonicalPhysicalPort On",  # SERVER_PORT: else the port of the Host header, or 80
    "WSGIRestrictSignal Off",  # else signal.signal() does nothing, by which trio finds out which thread is the main one
    f"WSGIScriptAlias / {script}",
    # Imported with the process and not by the first request.
    f"WSGIImportScript {script} process-group={'app' if options.daemon else '%{GLOBAL}'} application-group=%{{GLOBAL}}",
    f"<Directory {script.parent}>",
    "Require all granted",
    "</Directory>",
]
os.environ["COMPAT_MATRIX_TARGET"] = options.target
# Apache gives up root's rights for those of a user that may not read this interpreter. In a user namespace of
# its own it is no root to begin with.
user = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
command = [*user, apache, "-f", "/dev/null", "-DFOREGROUND"]
for directive in DIRECTIVES:
    command += ["-C", directive]
os.execvp(command[0], command)
