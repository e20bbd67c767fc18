"""``python -m bridge``: the command line without its script."""

from bridge.cli import main

if __name__ == "__main__":
    main()
