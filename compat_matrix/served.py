"""What servers import; see composition.py. Not for the runner, which serves nothing."""

from compat_matrix.composition import from_environment

app = from_environment()
