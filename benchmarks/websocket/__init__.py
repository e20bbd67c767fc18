"""WebSocket scenarios over loopback: real servers that echo, each in its own process, under a client in another."""
