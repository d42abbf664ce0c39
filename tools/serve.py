"""Run with --help; the tool itself is vireid/cli/serve.py."""

from vireid.cli import launch

if __name__ == "__main__":
    raise SystemExit(launch("serve"))
