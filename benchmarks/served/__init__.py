"""One module for each application a server is started with; ``application`` is the name in all of them."""
