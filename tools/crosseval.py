"""Run with --help; the tool itself is vireid/cli/crosseval.py."""

from vireid.cli import launch

if __name__ == "__main__":
    raise SystemExit(launch("crosseval"))
