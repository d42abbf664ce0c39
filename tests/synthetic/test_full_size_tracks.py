"""Sets of tracks with published counts: their plans, and a share of them through all steps."""

import pytest

from benchmarks import full_size_tracks
from benchmarks.full_size_tracks import BUPT_GROUPS, PLANS, VCM_GROUPS, Group, measure, write_tree
from vireid.data.datasets import DATASETS
from vireid.errors import DataError


def test_lengths_of_tracks_differ_and_add_up():
    groups = [group for pair in VCM_GROUPS.values() for group in pair]
    for number, group in enumerate([*groups, *BUPT_GROUPS.values(), Group(3, 3), Group(2, 24, 12)]):
        lengths = group.lengths(full_size_tracks.np.random.default_rng(number))
        assert len(lengths) == group.tracks and sum(lengths) == group.frames
        assert group.least <= min(lengths) and max(lengths) <= group.most
        assert group.tracks < 10 or len(set(lengths)) > 5


@pytest.mark.parametrize(("layout", "frames"), [("vcm", 463_259), ("bupt", 1_704_768)])
def test_a_full_set_has_the_published_counts(layout, frames):
    plan = PLANS[layout](1.0)
    published = DATASETS[layout].published
    assert len(plan.counts) >= 12
    assert {name: published[name] for name in plan.counts} == dict(plan.counts)
    assert len(plan.frames) == len(set(plan.frames)) == frames


@pytest.mark.parametrize(("layout", "share"), [("vcm", 0.003), ("bupt", 0.001)])
def test_a_share_passes_the_check_and_is_scored(layout, share, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(full_size_tracks, "DRAWN", 20)
    plan = PLANS[layout](share)
    write_tree(plan, layout, tmp_path)
    figures = measure(layout, tmp_path, plan, reduced=True)
    steps = ["index", "pool the frames", f"{layout}_i2v", f"{layout}_v2i", "check_data"]
    assert list(figures) == steps and full_size_tracks.table(figures).count("\n") == 6
    printed = capsys.readouterr().out
    assert "suspicious" not in printed and "problem" not in printed
    (tmp_path / plan.frames[0]).write_bytes(b"")
    with pytest.raises(DataError, match="1 faults"):
        full_size_tracks.check(layout, tmp_path, plan, reduced=True)
