"""``python -m vireid train …``: the tools where no ``vireid`` command is on the path."""

from vireid.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
