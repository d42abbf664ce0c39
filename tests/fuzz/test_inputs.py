"""Whatever a file holds, a tool accepts it or refuses it in a line: the campaign's short version.

``python -m tests.fuzz.campaign --seconds 300`` is the long one.
"""

import pickle
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import harness
from tests.fuzz.campaign import KINDS, attack
from tests.fuzz.harness import Payload
from tests.fuzz.mutate import mutate_bytes, mutate_text, mutate_tree
from vireid.errors import DataError


@pytest.mark.parametrize("name", KINDS)
def test_every_input_is_accepted_or_refused_in_a_line(name):
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


def test_a_crash_is_told_from_a_refusal(tmp_path, monkeypatch):
    def refuse() -> None:
        raise DataError("\ud800: write a row")  # made printable where it is printed

    def hang() -> None:
        while True:
            pass

    def judged(use) -> str:
        verdict = harness.judge(use, sentinel=sentinel)
        return verdict.crash or f"code {verdict.code}"

    monkeypatch.setattr(harness, "SECONDS", 0.5)
    monkeypatch.setattr(harness, "MEMORY", 64 << 20)
    sentinel = tmp_path / "sentinel"
    assert judged(lambda: None) == "code 0"
    assert judged(refuse) == "code 3"
    assert "ZeroDivisionError" in judged(lambda: 1 / 0)
    assert "still busy" in judged(hang)
    assert "took 0." in judged(lambda: len(b"x" * (128 << 20)))
    assert "exit code 1" in judged(lambda: harness.run_tool(lambda words: 1))
    assert "executed code" in judged(lambda: pickle.loads(pickle.dumps(Payload(sentinel))))
    assert not sentinel.exists()


def test_a_seed_makes_the_same_input_again():
    tree = {"a": [1, 2], "b": {"c": "x"}}
    for change, good in ((mutate_bytes, b"abc" * 9), (mutate_text, "a,b\nc"), (mutate_tree, tree)):
        made = [repr(change(good, Random(seed))) for seed in range(40)]
        assert made == [repr(change(good, Random(seed))) for seed in range(40)]
        assert len(set(made)) > 20
    assert tree == {"a": [1, 2], "b": {"c": "x"}}
