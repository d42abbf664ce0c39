"""Whatever a file holds, a tool takes it or refuses it in a line: the campaign's short version.

``python -m tests.fuzz.campaign --seconds 300`` is the long one.
"""

import pickle
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import judge as judge_module
from tests.fuzz.campaign import Tally, attack, table
from tests.fuzz.judge import judge
from tests.fuzz.kinds import KINDS
from tests.fuzz.mutate import mutate_bytes, mutate_text, mutate_tree
from tests.fuzz.payload import payload
from vireid.errors import DataError


@pytest.mark.parametrize("name", KINDS)
def test_every_input_is_taken_or_refused_in_a_line(name):
    if KINDS[name].missing:
        pytest.skip(f"needs {', '.join(KINDS[name].missing)}")

    @settings(
        deadline=None,
        database=None,
        derandomize=True,  # what fails here fails everywhere
        max_examples=KINDS[name].examples,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32 - 1))
    def attacked(seed: int) -> None:
        verdict = attack(KINDS[name], seed)
        assert not verdict.crash, verdict

    attacked()


def test_the_judge_knows_a_crash(tmp_path, monkeypatch):
    def refuse() -> None:
        raise DataError(f"{tmp_path}/x.csv holds no row: write one")

    def steer() -> None:
        raise DataError("\ud800 x")  # made printable where it is printed

    def hang() -> None:
        while True:
            pass

    def hoard() -> None:
        b"x" * (128 << 20)

    monkeypatch.setattr(judge_module, "SECONDS", 0.5)
    monkeypatch.setattr(judge_module, "MEMORY", 64 << 20)
    sentinel = tmp_path / "sentinel"
    assert judge(lambda: None, sentinel=sentinel).code == 0
    assert (judge(refuse, sentinel=sentinel).code, judge(refuse, sentinel=sentinel).crash) == (
        3,
        "",
    )
    assert judge(steer, sentinel=sentinel).crash == ""
    assert "ZeroDivisionError" in judge(lambda: 1 / 0, sentinel=sentinel).crash
    assert "still busy" in judge(hang, sentinel=sentinel).crash
    assert "took 0." in judge(hoard, sentinel=sentinel).crash
    assert "exit code 1" in judge(lambda: exec("raise SystemExit(1)"), sentinel=sentinel).crash
    unpickled = judge(lambda: pickle.loads(pickle.dumps(payload(sentinel))), sentinel=sentinel)
    assert "executed code" in unpickled.crash and not sentinel.exists()


def test_a_seed_makes_the_same_input_again():
    tree = {"a": [1, 2], "b": {"c": "x"}}
    for change, good in ((mutate_bytes, b"abc" * 9), (mutate_text, "a,b\nc"), (mutate_tree, tree)):
        made = [repr(change(good, Random(seed))) for seed in range(40)]
        assert made == [repr(change(good, Random(seed))) for seed in range(40)]
        assert len(set(made)) > 20
    assert tree == {"a": [1, 2], "b": {"c": "x"}}


def test_the_table_counts():
    tally = Tally(tried=4, accepted=1, crashed=1)
    tally.codes.update([3, 3])
    assert table({"x": tally}).splitlines()[2:] == [
        "| x | 4 | 1 | 2 (3) | 1 |",
        "| all | 4 | 1 | 2 | 1 |",
    ]
