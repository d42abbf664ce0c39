"""Scores of corrupted images: beside the clean ones, never mixed with them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from vireid.cli import evaluate, extract
from vireid.data.build import build_eval_loader, build_splits, corruption_rule
from vireid.data.images import read_image
from vireid.data.loading import batches
from vireid.data.transforms import eval_transform
from vireid.errors import UsageError
from vireid.evaluation.feature_files import read_features, read_source
from vireid.evaluation.protocols import PROTOCOLS, expand
from vireid.runs import features as module
from vireid.runs.options import run_config
from vireid.runs.saved_features import run_features
from vireid.runs.score import SCORING
from vireid.runs.trained_run import TrainedRun
from vireid.structures import Modality

NAME = "sysu_all_single"
BOTH = [NAME, f"{NAME}+corrupted"]


@pytest.fixture
def run(finished_run, tmp_path) -> Path:
    return shutil.copytree(finished_run, tmp_path / "run")


def entries(path: Path) -> dict:
    return json.loads(path.read_text())["protocols"]


def test_names_and_groups_may_be_corrupted():
    (one,) = expand([f"{NAME}+corrupted"])
    assert one.corrupted and one.name == BOTH[1]
    assert [p.name for p in expand(["llcm+corrupted", "llcm_v2n"])] == [
        "llcm_v2n+corrupted",
        "llcm_n2v+corrupted",
        "llcm_v2n",
    ]
    assert not any(protocol.corrupted for protocol in PROTOCOLS.values())
    with pytest.raises(ValueError, match=r"unknown protocol 'sysu_x\+corrupted'.*also with"):
        expand(["sysu_x+corrupted"])


def test_corrupted_scores_are_beside_the_clean_ones_with_their_rule(run, tmp_path, capsys):
    before = entries(run / "results.json")
    assert evaluate.main(["--run", str(run), "--corrupted"]) == 0
    found = entries(run / "results.json")
    assert list(found) == BOTH and found[NAME] == before[NAME]
    rule = found[BOTH[1]]["corruption"]
    assert (rule["side"], len(rule["kinds"]), rule["seed"]) == ("visible", 20, 0)
    assert rule["severities"] == [1, 2, 3, 4, 5] and "corruption" not in found[NAME]
    text = "visible images corrupted, each by one of 20 kinds at severity 1 to 5, drawn by seed 0"
    assert capsys.readouterr().out.count(text) == 1
    # the same without clean ones, with loader processes, and with a cache of clean images
    words = ["--protocols", BOTH[1], "DATA.WORKERS", "2", "DATA.CACHE", str(tmp_path / "cache")]
    again = tmp_path / "again.json"
    assert evaluate.main(["--run", str(run), "--out", str(again), *words]) == 0
    assert entries(again) == {BOTH[1]: found[BOTH[1]]}


def test_other_rules_of_corruption_have_files_of_their_own(run):
    cfg = run_config(run, ["TEST.CORRUPTION", "visible"])
    assert TrainedRun.open(cfg, run).differences(SCORING) == []
    words = ["TEST.CORRUPTION", "both", "TEST.CORRUPTION_SEED", "1"]
    words += ["TEST.CORRUPTION_KINDS", "[fog, rain]", "TEST.CORRUPTION_SEVERITY", "4"]
    assert TrainedRun.open(run_config(run, words), run).differences(SCORING) == [
        "corruption-both",
        "corruption_kinds-fog-rain",
        "corruption_severity-4",
        "corruption_seed-1",
    ]


@pytest.mark.parametrize(
    ("side", "changed"), [("visible", {0}), ("infrared", {1}), ("both", {0, 1})]
)
def test_images_are_corrupted_as_they_are_on_disk_and_resized_then(run, side, changed):
    cfg = run_config(
        run, ["TEST.CORRUPTION", side, "DATA.CACHE", "/nowhere", "INPUT.SIZE", "[40, 32]"]
    )
    splits, rule = build_splits(cfg), corruption_rule(cfg)
    records = [*splits.test[:3], *splits.test[-3:]]
    assert {record.modality for record in records} == set(Modality) - {2}
    loader = build_eval_loader(
        cfg, splits.root, records, device=torch.device("cpu"), corruption=rule
    )
    assert rule.fields["resized_first"] is False
    resized = eval_transform((40, 32))
    for image, record in zip(next(iter(batches(loader))).images, records, strict=True):
        clean = read_image(splits.root / record.path)
        corrupted = rule.apply(clean, record.path, record.modality)
        assert (corrupted is clean) == (record.modality not in changed)
        assert torch.equal(image, resized(corrupted))


def test_extracted_features_say_how_they_were_corrupted(run, tmp_path, capsys):
    clean, corrupted = tmp_path / "clean.npz", tmp_path / "corrupted.npz"
    words = ["TEST.CORRUPTION", "visible", "TEST.CORRUPTION_SEED", "5"]
    for path, options in ((clean, []), (corrupted, words)):
        assert extract.main(["--run", str(run), "--out", str(path), *options]) == 0
    assert "drawn by seed 5 and path" in capsys.readouterr().out
    one, other = read_features(clean), read_features(corrupted)
    visible = one.modality == Modality.VISIBLE
    same = np.isclose(one.features, other.features, atol=1e-4).all(axis=1)
    assert same[~visible].all() and same[visible].mean() < 0.2
    assert "corruption" not in read_source(clean)
    assert read_source(corrupted)["corruption"]["seed"] == 5

    assert evaluate.main(["--features", str(clean), "--protocols", BOTH[1]]) == 2
    assert "does not say that its images were corrupted" in capsys.readouterr().err
    for name, path in zip(BOTH, (tmp_path / "a.json", tmp_path / "b.json"), strict=True):
        given = ["--gallery-draw", "seeded", "--out", str(path)]
        assert evaluate.main(["--features", str(corrupted), "--protocols", name, *given]) == 0
        assert entries(path)[name]["corruption"]["seed"] == 5
    own = ["--protocols", BOTH[1], "--gallery-draw", "seeded", "--out", str(tmp_path / "c.json")]
    assert evaluate.main(["--run", str(run), *own, *words]) == 0
    expected, found = entries(tmp_path / "c.json")[BOTH[1]], entries(tmp_path / "b.json")[BOTH[1]]
    assert found["mean"] == pytest.approx(expected["mean"], abs=1e-6)


def test_kept_features_are_clean(run):
    kept = run_features(run_config(run), run=run).features.features
    cfg = run_config(run, ["TEST.CORRUPTION", "visible"])
    with pytest.raises(UsageError, match="of clean images; write corrupted ones with the extract"):
        run_features(cfg, run=run)
    np.testing.assert_array_equal(read_features(run / "features.npz").features, kept)


def test_every_kind_and_severity_has_its_scores(run, capsys):
    words = ["TEST.CORRUPTION_KINDS", "[fog]", "TEST.CORRUPTION_SEVERITY", "3"]
    assert evaluate.main(["--run", str(run), "--by-kind", *words]) == 0
    results, folder = (next(run.glob(f"results_corruption*{end}")) for end in (".json", "_by_kind"))
    table = pd.read_csv(folder / "by_kind.csv").set_index(["kind", "severity"])
    assert list(table.index) == [("clean", 0), ("fog", 3)]
    for line, name in zip(table.index, BOTH, strict=True):
        expected = entries(results)[name]["mean"]
        assert table.loc[line, list(expected)].to_dict() == pytest.approx(expected, abs=1e-4)
    assert (folder / f"{NAME}.png").stat().st_size > 5000
    assert "| fog " in (folder / "by_kind.md").read_text()
    assert "| clean" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--corrupted", "TEST.CORRUPTION_KINDS", "[fgo]"], "choose one of gaussian_noise"),
        (["--corrupted", "TEST.CORRUPTION_SEVERITY", "6"], "0 to 5, got 6"),
        (
            ["TEST.CORRUPTION", "infrared", "TEST.CORRUPTION_KINDS", "[saturate]"],
            "leaves infrared images clean",
        ),
    ],
)
def test_rules_that_do_not_exist_are_refused_in_one_line(run, words, message, capsys):
    assert evaluate.main(["--run", str(run), *words]) == 2
    assert message in capsys.readouterr().err


def test_by_kind_needs_a_run(capsys):
    words = ["--features", "x.npz", "--protocols", NAME, "--by-kind"]
    assert evaluate.main(words) == 2
    assert "go with --run" in capsys.readouterr().err


def test_only_corrupted_images_pass_the_model_again_at_the_exit_of_their_side(run, monkeypatch):
    words = ["TEST.EXIT", "shallow1", "TEST.GALLERY_EXIT", "deep", "TEST.EMBED", "global"]
    cfg = run_config(run, words)
    trained, rule = TrainedRun.open(cfg, run), corruption_rule(cfg)
    records = [*trained.splits.test[:2], *trained.splits.test[-2:]]
    passed: list[tuple[str, int]] = []
    extract = module.features_of

    def counted(cfg, model, splits, records, **options):
        passed.append((options.get("exit_name") or cfg.TEST.EXIT, len(records)))
        return extract(cfg, model, splits, records, **options)

    monkeypatch.setattr(module, "features_of", counted)
    given = (cfg, trained.model(), trained.splits, records)
    device = {"device": torch.device("cpu")}
    clean = module.features_by_query(*given, query_modalities=list(Modality), **device)
    found = module.corrupted_by_query(*given, clean, rule, **device)
    visible = clean[Modality.VISIBLE].modality == Modality.VISIBLE
    assert passed == [
        ("shallow1", 4),
        ("deep", 4),
        *[("shallow1", visible.sum()), ("deep", visible.sum())],
    ]
    for query, exit_name in ((Modality.VISIBLE, "shallow1"), (Modality.INFRARED, "deep")):
        own = [record for record in records if record.modality is Modality.VISIBLE]
        expected = extract(*given[:3], own, exit_name=exit_name, corruption=rule, **device)
        np.testing.assert_allclose(found[query].features[visible], expected.features, rtol=1e-5)
        np.testing.assert_array_equal(
            found[query].features[~visible], clean[query].features[~visible]
        )


def test_images_may_be_resized_before_they_are_corrupted(run):
    words = ["TEST.CORRUPTION_RESIZED", "true", "INPUT.SIZE", "[40, 32]"]
    rule = corruption_rule(run_config(run, words))
    assert rule.fields["resized_first"] == [40, 32]
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 50, 3), dtype=np.uint8))
    small = v2.functional.to_pil_image(eval_transform((40, 32))(image))
    found = rule.apply(image, "a.jpg", Modality.VISIBLE)
    assert found.size == (32, 40)
    expected = replace(rule, size=None).apply(small, "a.jpg", Modality.VISIBLE)
    assert found.tobytes() == expected.tobytes()
