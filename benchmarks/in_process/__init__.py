"""Scenarios in one process: the wrapped application is called by a driver, without any server."""
