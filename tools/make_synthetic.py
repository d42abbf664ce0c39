"""Run with --help; the tool itself is vireid/cli/make_synthetic.py."""

from vireid.cli.make_synthetic import main

if __name__ == "__main__":
    raise SystemExit(main())
