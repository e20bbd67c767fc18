"""WSGI servers without a command line of their own, one module each: ``python -m compat_matrix.launch.<server>``.

Each binds 127.0.0.1, says so once it accepts connections, and ends on SIGTERM as a program ends: what runs may
finish, then ``atexit`` handlers run. Nothing is imported here, since monkey patches have to come first.
"""
