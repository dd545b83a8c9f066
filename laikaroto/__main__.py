"""``python -m laikaroto`` is the ``laikaroto`` command."""

from laikaroto.cli.app import main

if __name__ == "__main__":
    main()
