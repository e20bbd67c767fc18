"""Scenarios over loopback: real servers, each in its own process, under a load generator in another."""
