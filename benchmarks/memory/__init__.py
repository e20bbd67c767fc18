"""Scenarios of memory: how much a server process grows while one large body passes through it."""
