"""The conformance suite and the compatibility matrix: imports bridge, is never imported by it."""
