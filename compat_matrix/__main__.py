"""``python -m compat_matrix``."""

from compat_matrix.command import main

if __name__ == "__main__":
    main()
