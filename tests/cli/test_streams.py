"""Standard streams that are closed, and readers that have gone."""

import os
import subprocess
import sys

import pytest

CLOSED = """
import os, sys
from vireid.cli import _discard_unwritten_output, _open_standard_streams
_open_standard_streams()
with open(sys.argv[1], "w") as file:
    file.write(str(file.fileno()))
print("out"); print("err", file=sys.stderr); sys.stdin.read()
_discard_unwritten_output()
"""


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path, closed):
    command = f'"$0" -c "$1" "$2" {closed or "</dev/null"}'
    words = ["sh", "-c", command, sys.executable, CLOSED, str(tmp_path / "file")]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and int((tmp_path / "file").read_text()) > 2
    assert done.stderr == ("" if "2>&-" in closed else "err\n")
    assert done.stdout == ("" if closed.startswith(">&-") else "out\n")


def test_a_reader_that_goes_away_leaves_no_message():
    command = f"{sys.executable} tools/check_data.py --help | true; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, env=environment)
    assert done.returncode in (0, 141) and done.stderr == b""
