"""Run with --help; the tool itself is vireid/cli/search.py."""

from vireid.cli import launch

if __name__ == "__main__":
    raise SystemExit(launch("search"))
