import pytest

from vireid.errors import UsageError
from vireid.evaluation.protocols import GROUPS, PROTOCOLS, expand, with_draw
from vireid.structures import Modality

RULES = {  # draw, CMC unit, own camera left out, gallery trials
    "sysu": ("official", "identity", False, 10),
    "regdb": ("all", "image", False, 1),
    "llcm": ("seeded", "identity", True, 10),
    "csv": ("all", "image", True, 1),
    "folder": ("all", "image", True, 1),
    "val": ("all", "image", False, 1),
    "veri": ("all", "image", True, 1),
    "vehicleid": ("seeded", "image", False, 10),
    "val_v2v": ("all", "image", True, 1),
    "llcm_n2v_multi": ("seeded", "identity", True, 10),
    "vcm": ("all", "track", True, 1),
    "bupt": ("all", "track", True, 1),
    "orbench": ("all", "image", False, 1),
}
ONE_MODALITY = ("veri", "vehicleid", "val_v2v")


@pytest.mark.parametrize("group", sorted(RULES))
def test_rules_are_the_documented_ones(group: str):
    assert GROUPS.keys() == RULES.keys() - {"veri", "val_v2v", "llcm_n2v_multi"}  # single ones
    for protocol in expand([group]):
        rules = (protocol.draw, protocol.cmc_unit, protocol.drops_own_camera)
        assert (*rules, protocol.gallery_trials) == RULES[group]
        assert protocol.metric == "cosine"
        alike = protocol.query_modality is protocol.gallery_modality
        assert alike == (group in ONE_MODALITY)
        assert protocol.held_out == group.startswith("val")


def test_first_letter_is_the_querys_modality():
    letters = {"v": Modality.VISIBLE, "n": Modality.INFRARED, "i": Modality.INFRARED}
    letters["t"] = Modality.INFRARED
    for group in ("regdb", "llcm", "csv", "folder", "val", "vcm", "bupt", "orbench"):
        for name in GROUPS[group]:
            assert PROTOCOLS[name].query_modality is letters[name.split("_")[1][0]]


def test_single_shot_galleries_can_be_drawn_by_the_seeded_rule():
    protocol = with_draw(PROTOCOLS["sysu_all_single"], "seeded")
    assert (protocol.draw, protocol.shots, protocol.name) == ("seeded", 1, "sysu_all_single")
    for name in ("sysu_all_single", "regdb_v2t", "llcm_n2v"):
        assert with_draw(PROTOCOLS[name], "auto") is PROTOCOLS[name]
    assert with_draw(PROTOCOLS["llcm_v2n"], "seeded") is PROTOCOLS["llcm_v2n"]


@pytest.mark.parametrize(
    ("name", "draw", "remedy"),
    [
        (
            "sysu_all_multi",
            "seeded",
            "official rule, or ask for sysu_all_single, sysu_indoor_single",
        ),
        ("sysu_indoor_multi", "seeded", "official rule, or ask for sysu_all_single"),
        ("regdb_v2t", "seeded", "leave the draw out"),
        ("csv_i2v", "official", "leave the draw out"),
        ("llcm_v2n", "official", "drawn by the seeded rule only"),
    ],
)
def test_a_draw_that_does_not_exist_is_refused_with_the_remedy(name: str, draw: str, remedy: str):
    with pytest.raises(UsageError, match=f"{draw}.*{name}.*{remedy}"):
        with_draw(PROTOCOLS[name], draw)
