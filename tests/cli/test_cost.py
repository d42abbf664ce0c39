"""What networks cost: known counts, exits and backbones side by side, scores over cost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from tests.figures.fit import assert_texts_fit
from vireid.cli import cost
from vireid.config.load import dump_config, load_config

NO_TIMING = ("--rounds", "0")
QUICK = ("--rounds", "2", "--warmup", "1", "--batch", "1", "2")


def told(capsys) -> tuple[list[dict[str, str]], list[dict[str, str]], str]:
    """The rows of both tables, and everything that was printed."""
    out = capsys.readouterr().out
    tables: list[list[list[str]]] = []
    before = ""
    for line in out.splitlines():
        if line.startswith("| "):
            if not before.startswith("| "):
                tables.append([])
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = line
    read = [[dict(zip(t[0], row, strict=True)) for row in t[2:]] for t in tables]
    return read[0], read[1] if len(read) > 1 else [], out


def refused(words, capsys) -> tuple[int | str | None, str]:
    """The exit code of a call that fails, and its message."""
    try:
        code = cost.main([*words])
    except SystemExit as error:  # argparse's
        code = error.code
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return code, message


def set_options(run: Path, **options: object) -> None:
    cfg = load_config(run / "config.yaml")
    cfg.defrost()
    for key, value in options.items():
        group, _, name = key.partition("__")
        cfg[group][name] = value
    (run / "config.yaml").write_text(dump_config(cfg))


def test_the_deployed_default_and_agw_have_their_known_counts(tmp_path, capsys):
    configs = ["configs/sysu.yaml", "configs/baselines/agw.yaml"]
    file = tmp_path / "cost.json"
    assert cost.main(["--cfg", *configs, *NO_TIMING, "--json", str(file)]) == 0
    (ours, agw), _, out = told(capsys)
    assert "FlopCounterMode" in out
    assert (ours["network"], ours["exit"], ours["features"]) == ("sysu", "deep", "global+parts")
    assert ours["parameters in training"] == "5,408,369" and ours["parameters"] == "2,808,942"
    assert ours["MACs per image (M)"] == "1,242.9" and ours["input"] == "288 × 144"
    assert (ours["numbers"], ours["bytes"]) == ("3,328", "13,312")
    assert (agw["parameters"], agw["MACs per image (M)"]) == ("23,550,352", "5,136.4")
    assert (agw["features"], agw["bytes"]) == ("global", "8,192")
    content = json.loads(file.read_text())
    assert content["macs_counter"] in out and content["threads"] == torch.get_num_threads()
    assert round(content["networks"][0]["macs"] / 1e9, 3) == 1.243
    assert [row["latency"] for row in content["networks"]] == [[], []]


def test_all_exits_stand_side_by_side(capsys):
    assert cost.main(["--cfg", "configs/sysu.yaml", "--exits", "all", *NO_TIMING]) == 0
    rows, _, _ = told(capsys)
    assert [(row["exit"], row["features"]) for row in rows] == [
        ("shallow1", "global"),
        ("shallow2", "global"),
        ("shallow3", "global"),
        ("deep", "global"),
        ("deep", "global+parts"),
    ]
    macs = ["754.9", "1,100.2", "1,239.3", "1,238.5", "1,242.9"]  # heads are light
    assert [row["MACs per image (M)"] for row in rows] == macs
    assert rows[3]["parameters"] == "2,151,021"


def test_backbones_stand_side_by_side_and_options_may_follow_any_list(capsys):
    names = ["osnet_x0_25", "osnet_x0_5", "resnet50"]
    plain = ["MODEL.MGIM.ENABLED", "false", "MODEL.SDM.ENABLED", "false"]
    command = ["--cfg", "configs/sysu.yaml", *NO_TIMING, "--backbones", *names, *plain]
    assert cost.main(command) == 0
    rows, _, _ = told(capsys)
    assert [row["network"] for row in rows] == names
    # method.md's two streams at two specific stages, and BNNeck and exponent
    assert [int(row["parameters"].replace(",", "")) for row in rows[:2]] == [
        154_938 + 2 * 128 + 1,
        564_982 + 2 * 256 + 1,
    ]
    assert [row["MACs per image (M)"] for row in rows] == ["104.1", "345.2", "5,129.9"]


def test_a_mirrored_pass_costs_twice_and_identities_can_be_given(capsys):
    command = ["--cfg", "configs/demo.yaml", *NO_TIMING]
    assert cost.main([*command, "TEST.FLIP", "false"]) == 0
    (once,), _, _ = told(capsys)
    assert cost.main([*command, "--identities", "400"]) == 0
    (twice,), _, _ = told(capsys)
    assert twice["features"] == "global+parts, mirrored too"
    per_pass = [float(row["MACs per image (M)"]) for row in (once, twice)]
    assert per_pass[1] == pytest.approx(2 * per_pass[0], abs=0.11)
    assert twice["parameters"] == once["parameters"]
    trained = [int(row["parameters in training"].replace(",", "")) for row in (once, twice)]
    heads, parts = 4 * 128, 11 * 64
    assert trained[1] - trained[0] == (heads + parts) * (400 - 150)  # 150 are rendered


def test_unknown_identities_are_left_open_and_said(capsys):
    command = ["--cfg", "configs/demo.yaml", *NO_TIMING, "DATA.SPLIT", "train"]
    assert cost.main(command) == 0
    (row,), _, out = told(capsys)
    assert row["parameters in training"] == "–" and "--identities N" in out


def test_times_are_those_of_the_rounds(finished_run, tmp_path, monkeypatch, capsys):
    asked = []

    def measured(calls, *, batch, runs, warmup, device):
        assert all(call().shape[0] == batch for call in calls.values())
        asked.append((batch, runs, warmup, str(device)))
        # 1, 3 and 100 ms, and every further network takes twice as long as the one before
        return pd.DataFrame({n: [2.0**k * t for t in (1, 3, 100)] for k, n in enumerate(calls)})

    monkeypatch.setattr("vireid.cost.tables.measure_latency", measured)
    file = tmp_path / "cost.json"
    command = ["--run", str(finished_run), "--exits", "shallow1", "deep", *QUICK]
    assert cost.main([*command, "--json", str(file)]) == 0
    assert asked == [(1, 2, 1, "cpu"), (2, 2, 1, "cpu")]
    _, (first, second), out = told(capsys)
    assert [first[f"batch {b}: ms per image"] for b in (1, 2)] == ["3.00"] * 2
    assert (first["IQR"], second["IQR"]) == ("49.50", "99.00")  # of 2 and 51.5
    assert (first["ratio"], second["ratio"]) == ("1.00", "2.00")
    assert f"{torch.get_num_threads()} CPU thread" in out and "2 rounds after 1 of warm-up" in out
    (row, _) = json.loads(file.read_text())["networks"]
    assert row["latency"][0] == {"runtime": "torch", "batch": 1, "median_ms": 3.0, "iqr_ms": 49.5}


def test_a_run_is_measured_as_trained(finished_run, capsys):
    assert cost.main(["--run", str(finished_run), *QUICK]) == 0
    (row,), (time,), _ = told(capsys)
    assert row["network"] == "finished" and row["input"] == "64 × 32"
    assert int(row["numbers"].replace(",", "")) == 128 + (2 + 4) * 16
    assert float(time["batch 1: ms per image"]) > 0 and time["ratio"] == "1.00"


@pytest.fixture
def scored(finished_run, tmp_path) -> Path:
    """Three seeds of ``a`` and one run of ``b`` of half the size, with scores that differ."""
    scores = {"a/seed0": 0.4, "a/seed1": 0.6, "b/seed0": 0.7}
    for name, rank1 in scores.items():
        run = shutil.copytree(finished_run, tmp_path / "runs" / name)
        results = json.loads((run / "results.json").read_text())
        results["protocols"]["sysu_all_single"]["mean"] |= {"rank1": rank1, "mAP": rank1 / 2}
        if name.startswith("b"):
            set_options(run, TEST__EMBED="global")
            results["source"]["embedding"] = "global"
        (run / "results.json").write_text(json.dumps(results))
    return tmp_path / "runs"


@pytest.mark.parametrize("over", ["macs", "parameters"])
def test_points_of_the_scatter_are_the_results(scored, tmp_path, figures, over):
    file, picture = tmp_path / "cost.json", tmp_path / "cost.png"
    command = ["--run", str(scored), *NO_TIMING, "--over", over, "--json", str(file)]
    assert cost.main([*command, "--scatter", str(picture)]) == 0
    rows = json.loads(file.read_text())["networks"]
    a, b = (row["scores"] for row in rows)
    assert {a["protocol"], b["protocol"]} == {"sysu_all_single"}
    assert (a["mean"]["rank1"], a["std"]["rank1"], a["runs"]) == (50.0, pytest.approx(10.0), 2)
    assert (b["mean"]["mAP"], b["std"]["mAP"], b["runs"]) == (35.0, 0.0, 1)
    assert rows[0]["numbers"] - rows[1]["numbers"] == 6 * 16
    with Image.open(picture) as image:
        assert image.width == 1400
    assert_texts_fit(figures[0])
    for axes, metric in zip(figures[0].axes, ("rank1", "mAP"), strict=True):
        shown = [line.get_xydata()[0].tolist() for line, _, _ in axes.containers]
        assert shown == [
            pytest.approx([row[over] / 1e6, row["scores"]["mean"][metric]]) for row in rows
        ]
    texts = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert texts == ["a: deep, global+parts", "b: deep, global"]


def test_bars_are_the_medians_of_each_batch(tmp_path, figures):
    file, picture = tmp_path / "cost.json", tmp_path / "bars.png"
    command = ["--cfg", "configs/demo.yaml", "--exits", "shallow1", "deep", *QUICK]
    assert cost.main([*command, "--bars", str(picture), "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["networks"]
    assert_texts_fit(figures[0])
    for place, axes in enumerate(figures[0].axes):
        (bars,) = [c for c in axes.containers if hasattr(c, "patches")]
        expected = [row["latency"][place]["median_ms"] for row in rows]
        assert [bar.get_width() for bar in bars.patches] == pytest.approx(expected)
        assert axes.get_xlabel() == f"ms per image, batch {place + 1}"
    names = [label.get_text() for label in figures[0].axes[0].get_yticklabels()]
    assert names == ["demo, shallow1", "demo, deep"]


def test_each_exits_own_scores_are_drawn(finished_run, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    command = ["--run", str(run), *NO_TIMING, "--exits", "shallow1", "deep"]
    command += ["--scatter", str(tmp_path / "cost.png"), "--json", str(tmp_path / "cost.json")]
    assert cost.main(command) == 3
    error = capsys.readouterr().err
    assert "no scores by sysu_all_single of the exit shallow1 (global)" in error
    assert "evaluate" in error and "TEST.EXIT shallow1 TEST.EMBED global" in error
    results = json.loads((run / "results.json").read_text())
    own = results["protocols"]["sysu_all_single"]["mean"]["rank1"]
    results["source"] |= {"exit": "shallow1", "embedding": "global"}
    results["protocols"]["sysu_all_single"]["mean"]["rank1"] = 0.123
    (run / "results_exit-shallow1.json").write_text(json.dumps(results))
    assert cost.main(command) == 0
    rows = json.loads((tmp_path / "cost.json").read_text())["networks"]
    found = [row["scores"]["mean"]["rank1"] for row in rows]
    assert found == pytest.approx([12.3, 100 * own])


def test_scores_by_other_rules_are_not_drawn_together(scored, tmp_path, capsys):
    path = scored / "b/seed0/results.json"
    results = json.loads(path.read_text())
    results["protocols"]["sysu_all_single"]["num_gallery"] = 99
    path.write_text(json.dumps(results))
    command = ["--run", str(scored), *NO_TIMING, "--scatter", str(tmp_path / "cost.png")]
    code, message = refused(command, capsys)
    assert code == 3 and "num_gallery is 99 in" in message
    assert not (tmp_path / "cost.png").exists()


def test_seeds_of_other_networks_are_not_one(scored, capsys):
    set_options(scored / "a/seed1", INPUT__SIZE=[96, 48])
    code, message = refused(["--run", str(scored), *NO_TIMING], capsys)
    assert code == 2 and "INPUT.SIZE is [96, 48] and [64, 32]" in message
    assert "not seeds of one model" in message


CFG = ("--cfg", "configs/sysu.yaml")
RUN = ("--run", "<run>")


@pytest.mark.parametrize(
    ("words", "code", "phrase"),
    [
        ((*CFG, "--exits", "shallow9"), 2, "shallow1, shallow2, shallow3"),
        ((*CFG, "--exits", "shallow1", "MODEL.SDM.ENABLED", "false"), 2, "exits are deep"),
        ((*CFG, "--backends", "tensorrt"), 2, "choose one of torch, onnxruntime, openvino"),
        ((*CFG, "--batch", "0"), 2, "--batch: must be a whole number from 1, got '0'"),
        ((*CFG, "--batch", "SEED", "1"), 2, "--batch: expected at least one argument"),
        (("--run", "SEED", "1"), 2, "--run: expected at least one argument"),
        ((*CFG, *RUN), 2, "not allowed with argument"),
        ((*CFG, "--rounds", "-1"), 2, "--rounds"),
        ((*CFG, "--identities", "0"), 2, "--identities"),
        ((*CFG, "--backbones", "osnet_x9"), 2, "osnet_x9"),
        ((*CFG, "--scatter", "cost.png"), 2, "--scatter needs scores"),
        ((*CFG, "--bars", "cost.png"), 2, "--bars needs --rounds"),
        ((*CFG, "--bars", "cost.gif"), 2, "ends in .png, .jpg, .pdf, .svg"),
        ((*CFG, "--json", "cost.txt"), 2, "name a .json file"),
        ((*CFG, "--json", "no/such/cost.json"), 2, "cannot write"),
        ((*CFG, "MODEL.SHARE_DEPTH", "3"), 2, "MODEL.SHARED_DEPTH"),
        (("--cfg", "configs/none.yaml"), 2, "configs/none.yaml"),
        (("--run", "configs"), 4, "configs is neither a run folder"),
        ((*RUN, "--backbones", "resnet50"), 2, "a run has its own"),
        ((*RUN, "--scatter", "cost.png", "--over", "latency"), 2, "--over latency needs --rounds"),
        ((*RUN, "--scatter", "cost.png", "--protocol", "regdb_v2t"), 3, "no scores by regdb_v2t"),
        ((*RUN, "MODEL.SHARED_DEPTH", "0"), 4, "another model"),
    ],
)
def test_mistakes_are_one_message(finished_run, capsys, words, code, phrase):
    timing = () if "--rounds" in words else NO_TIMING
    words = [str(finished_run) if word == "<run>" else word for word in words]
    found, message = refused([*words, *timing], capsys)
    assert found == code and phrase in message
    assert not Path("cost.png").exists()


def test_networks_are_timed_on_equally_many_threads(tmp_path, capsys):
    alone = tmp_path / "alone.yaml"
    alone.write_text(f"_BASE_: {Path('configs/demo.yaml').resolve()}\nTHREADS: 1\n")
    code, message = refused([*CFG, str(alone), *NO_TIMING], capsys)
    assert code == 2 and "THREADS differs: 0 (sysu), 1 (alone); set one for all" in message


def test_missing_runtimes_are_named_before_anything_is_built(monkeypatch, capsys):
    monkeypatch.setattr("vireid.deploy.backends.find_spec", lambda name: None)
    code, message = refused([*CFG, "--backends", "torch", "openvino", *QUICK], capsys)
    assert code == 2 and "vireid[export]" in message
    assert "onnx, onnxscript, openvino is not installed" in message


def test_another_runtime_must_compute_torchs_features(monkeypatch, capsys):
    """Stands in for the export and a runtime; the real ones: tests/deploy/test_export.py."""
    monkeypatch.setattr(cost, "require_packages", lambda *names: None)
    exported = {}

    def write(network, path, *, size):
        exported[path] = network

    def load(path, threads, factor=1.0):
        return lambda images: factor * exported[path](torch.from_numpy(images)).detach().numpy()

    monkeypatch.setattr(cost, "write_onnx", write)
    monkeypatch.setitem(cost.RUNTIMES, "openvino", load)
    command = ["--cfg", "configs/demo.yaml", "--backends", "torch", "openvino", *QUICK]
    assert cost.main(command) == 0
    _, times, _ = told(capsys)
    assert [row["runtime"] for row in times] == ["torch", "openvino"]
    monkeypatch.setitem(cost.RUNTIMES, "openvino", lambda path, n: load(path, n, factor=1.01))
    assert cost.main(command) == 4
    assert "openvino computes other features than torch" in capsys.readouterr().err
