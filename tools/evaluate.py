"""Run with --help; the tool itself is vireid/cli/evaluate.py."""

from vireid.cli.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
