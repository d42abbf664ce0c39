"""Run with --help; the tool itself is vireid/cli/train.py."""

from vireid.cli.train import main

if __name__ == "__main__":
    raise SystemExit(main())
