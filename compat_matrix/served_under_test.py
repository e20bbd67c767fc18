"""The application of the user's, where composition.py imports it; see under_test.py. Not for the runner."""

from compat_matrix.under_test import from_environment

application = from_environment()
