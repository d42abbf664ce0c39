"""The benchmark for a GPU, on the processor: every part runs, and none can stop the others."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import gpu
import gpu_parts
import pytest
import torch
import training


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("gpu")


def test_every_part_is_measured_and_one_out_of_memory_stops_no_other(data, monkeypatch, capsys):
    def too_large(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training, "plain_step", too_large)
    words = ["--out", str(data / "out"), "--data", str(data), "--tiny", "--device", "cpu"]
    assert gpu.main(words) == 0
    content = json.loads((data / "out" / "gpu.json").read_text())
    rows = {name: part["rows"] for name, part in content["parts"].items()}
    assert list(rows) == list(gpu.PARTS)
    plain = rows["steps"].pop("batch 4, plain loop, torchreid OSNet, fp32")
    assert plain == {"note": "out of memory"}
    for name in ("steps", "loader", "extraction", "variants"):
        assert all(row["images/s"] > 0 for row in rows[name].values())
    assert list(rows["steps"]) == ["batch 4, fp32, eager", "batch 4, bf16, eager"]
    assert list(rows["variants"]) == ["baseline", "SDM", "MGIM", "SDM and MGIM"]
    # 4 identities, all seen by four cameras, with one image each; 2 of each modality and batch
    assert {row["note"] for row in rows["variants"].values()} == {"two epochs"}
    (scored,) = rows["scoring"].values()
    assert scored["images"] == sum(people for people, _ in gpu_parts.evaluation.SYSU.values())
    assert "out of memory" in (data / "out" / "gpu.md").read_text()
    assert "compiled: 64 s, until 460 s" in capsys.readouterr().out


def test_a_training_ends_when_its_time_is_over(data):
    bench = gpu_parts.Bench(gpu_parts.TINY, torch.device("cpu"), data / "sysu")
    trainer = gpu_parts._trainer(bench.cfg, bench)
    assert gpu_parts.train_for(trainer, 0.0) <= 2 < trainer.schedule.epochs


def report_of(folder: Path, part: str) -> gpu.Report:
    content = {"machine": {}, "parts": {part: {"share": 1.0, "used": 0.0, "rows": {}}}}
    return gpu.Report(folder, content)


def test_cells_without_time_are_left_out_and_errors_become_notes(tmp_path, monkeypatch, capsys):
    def cells(_: gpu.Bench) -> Iterator[gpu.Cell]:
        yield gpu.Cell("slow", lambda seconds: time.sleep(0.3) or {"slow": {"seconds": 0.3}})
        yield gpu.Cell("late", lambda seconds: pytest.fail("there is no time for it"))

    def broken(seconds: float):
        raise RuntimeError("first line\nsecond line")

    bench = gpu_parts.Bench(gpu_parts.TINY, torch.device("cpu"), tmp_path)
    monkeypatch.setitem(gpu.PARTS, "steps", gpu.Part(1.0, cells, "note"))
    report = report_of(tmp_path, "steps")
    gpu.measure_part("steps", bench, report, time.perf_counter() + 0.2)
    monkeypatch.setitem(
        gpu.PARTS, "steps", gpu.Part(1.0, lambda _: iter([gpu.Cell("broken", broken)]), "note")
    )
    gpu.measure_part("steps", bench, report, time.perf_counter() + 60)
    assert json.loads((tmp_path / "gpu.json").read_text())["parts"]["steps"]["rows"] == {
        "slow": {"seconds": 0.3},
        "late": {"note": "left out: no time"},
        "broken": {"note": "failed: first line"},
    }


def test_what_another_process_measured_until_the_end_of_its_time_is_kept(tmp_path, monkeypatch):
    rows = {"batch 64, bf16, compiled": {"images/s": 7.0}}
    program = tmp_path / "program.sh"
    text = json.dumps({"parts": {"compiled": {"rows": rows}}})
    folder = tmp_path / "out" / "compiled"
    program.write_text(f"#!/bin/sh\nmkdir -p {folder}\necho '{text}' > {folder}/gpu.json\nsleep 60")
    program.chmod(0o755)
    monkeypatch.setattr(gpu.sys, "executable", str(program))
    report = report_of(tmp_path / "out", "compiled")
    bench = gpu_parts.Bench(gpu_parts.TINY, torch.device("cpu"), tmp_path / "sysu")
    started = time.perf_counter()
    gpu.measure_apart("compiled", bench, report, started + 1.5)
    assert time.perf_counter() - started < 30
    found = report.content["parts"]["compiled"]["rows"]
    assert found == rows | {"rest": {"note": "cut: no time for more"}}


@pytest.mark.parametrize("words", [["--parts", "search"], ["--seconds", "0"]])
def test_mistakes_are_one_line(words, tmp_path, capsys):
    assert gpu.main(["--out", str(tmp_path), *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
