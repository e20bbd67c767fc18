"""What mod_wsgi imports: its ``application`` is the target that apache.py was given."""

import os
import sys
from importlib import import_module

module, _, attribute = os.environ["COMPAT_MATRIX_TARGET"].partition(":")
application = getattr(import_module(module), attribute)
print("the application is there", file=sys.stderr, flush=True)
