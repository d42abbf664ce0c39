"""The documentation's Python, YAML and CSV blocks are executed, or read by their readers."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.docs.markdown import PAGES, ROOT, Block, blocks_of, commands_of
from tests.helpers import write_image
from vireid.cli import evaluate, export, search
from vireid.config import load_config
from vireid.config.load import read_yaml
from vireid.data.datasets import csv_set, sysu
from vireid.evaluation.results import read_results
from vireid.runs.options import choices
from vireid.structures import ImageRecord, Modality
from vireid.sweeps.spec import read_sweep

EXAMPLES = "docs/extending.md"  # tests/docs/test_extending.py executes them


def blocks(language: str) -> list[Block]:
    found = [block for page in PAGES for block in blocks_of(page) if block.language == language]
    return [block for block in found if block.page != EXAMPLES]


DEPLOYED = [block for block in blocks("python") if "vireid.deploy" in block.text]
LISTED = [b for b in blocks("python") if re.search(r"(lists|drawn|distances)\.(npz|pt)", b.text)]
SCORED = [block for block in blocks("python") if block not in (*DEPLOYED, *LISTED)]


def name(block: Block) -> str:
    return f"{block.page}:{block.line}"


def features_of(records: list[ImageRecord]) -> np.ndarray:
    """A unit vector per identity: wrong pids or a wrong order give wrong scores."""
    pids = np.array([record.pid for record in records])
    return np.eye(500, dtype=np.float32)[pids]


def agw_style(records: list[ImageRecord], root: Path) -> dict:
    """The names that code in the manner of AGW uses."""
    lists = {m: [(r.path, r.pid, r.camid) for r in records if r.modality is m] for m in Modality}

    def extract(images, mode):
        assert images == lists[Modality(mode - 1)]
        return features_of([r for r in records if r.modality == mode - 1])

    return {
        "extract": extract,
        "visible_images": lists[Modality.VISIBLE],
        "infrared_images": lists[Modality.INFRARED],
    }


def mpanet_style(records: list[ImageRecord], root: Path) -> dict:
    """The names that code in the manner of MPANet uses."""
    loaders = []
    for modality in Modality:
        own = [r for r in records if r.modality is modality]
        paths = [str(root / r.path) for r in own]
        data = SimpleNamespace(img_paths=paths, features=features_of(own))
        loaders.append(SimpleNamespace(dataset=data))
    return {
        "extract": lambda loader: loader.dataset.features,
        "gallery_loader": loaders[0],
        "query_loader": loaders[1],
        "root": root,
    }


CONTEXTS = {"visible_images": agw_style, "gallery_loader": mpanet_style}


@pytest.mark.parametrize("block", SCORED, ids=name)
def test_python_saves_features_that_score_perfectly(block, tiny_sysu, tmp_path, monkeypatch):
    (context,) = (make for word, make in CONTEXTS.items() if word in block.text)
    records = list(sysu.load(tiny_sysu).test)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, name(block), "exec"), context(records, tiny_sysu))
    words = ["--features", "features.npz", "--protocols", "sysu_all_single"]
    assert evaluate.main([*words, "--gallery-draw", "seeded"]) == 0
    entry = read_results(tmp_path / "results.json")["protocols"]["sysu_all_single"]
    assert entry["num_query"] == sum(r.modality is Modality.INFRARED for r in records)
    assert entry["mean"]["rank1"] == entry["mean"]["mAP"] == 1


@pytest.mark.parametrize("block", LISTED, ids=name)
def test_python_saves_lists_that_the_command_behind_it_scores(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = {"query": np.repeat([4, 7], 3), "gall": np.tile([7, 4, 9], 2)}
    given = {f"{side}_label": pids for side, pids in labels.items()}
    given |= {f"{side}_feat": np.eye(10)[pids] for side, pids in labels.items()}
    given |= {"query_cam": np.ones(6, int), "gall_cam": np.full(6, 2)}
    given |= {
        "qf": torch.from_numpy(given["query_feat"]),
        "gf": torch.from_numpy(given["gall_feat"]),
    }
    given |= {"q_pids": labels["query"], "g_pids": labels["gall"]}
    given |= {"q_camids": given["query_cam"], "g_camids": given["gall_cam"]}
    given["distmat"] = 1 - given["query_feat"] @ given["gall_feat"].T
    exec(compile(block.text, name(block), "exec"), given)
    (file,) = tmp_path.iterdir()
    (command,) = [c for c in commands_of(ROOT / block.page) if f"--features {file.name} " in c.text]
    assert evaluate.main(command.words[2:]) == 0
    (entry,) = read_results(tmp_path / "results.json")["protocols"].values()
    assert entry["mean"]["mAP"] == 1 and entry["num_gallery"] == 6


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory) -> list[Path]:
    """The file that the blocks call network.onnx, one for each stream."""
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    words = ["--run", str(finished_run), "--format", "onnx", "--out", str(folder / "network.onnx")]
    assert export.main(words) == 0
    return list(folder.iterdir())


@pytest.mark.parametrize("block", DEPLOYED, ids=name)
def test_python_extracts_features(block, finished_run, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    for number, image in enumerate(("photos/a.jpg", "photos/b.jpg", "night.png")):
        write_image(tmp_path / image, color=(60 * number, 90, 200))
    for image in ("a.jpg", "b.jpg", "c.jpg"):
        write_image(tmp_path / image)
    for model in ("runs/sysu/seed0", "runs/demo/seed0", "my-model"):
        Path(model).parent.mkdir(parents=True, exist_ok=True)
        Path(model).symlink_to(finished_run)
    run = ["--run", "runs/sysu/seed0"]
    if 'Extractor("network.onnx")' in block.text:
        for file in request.getfixturevalue("exported"):
            Path(file.name).symlink_to(file)
    if "Gallery(" in block.text:
        words = ["--images", "photos", "--modality", "visible", "--gallery", "people"]
        assert search.main(["build", *run, *words]) == 0
    made: dict = {}
    exec(compile(block.text, name(block), "exec"), made)
    if "results" in made:
        assert [one.path.name for one in made["results"].matches[0]] in (
            ["a.jpg", "b.jpg"],
            ["b.jpg", "a.jpg"],
        )
        return
    rows = made["features"] if "features" in made else made["gallery"]
    assert rows.shape == (2, made["extractor"].dim)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("block", blocks("yaml"), ids=name)
def test_yaml_is_a_configuration_or_a_sweep(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    file = tmp_path / "block.yaml"
    file.write_text(block.text, encoding="utf-8")
    sections = read_yaml(file)
    if sections.keys() & {"BASE", "GRID", "SLURM"}:
        missing = {"BASE": "configs/sysu.yaml", "GRID": {"MODEL.SHARED_DEPTH": [0, 1]}}
        text = block.text.replace("../sysu.yaml", "configs/sysu.yaml")
        text += "".join(f"{k}: {v}\n" for k, v in missing.items() if k not in sections)
        file.write_text(text, encoding="utf-8")
        assert len(read_sweep(file).cells) > 1
    else:
        assert load_config(file, choices=choices(), environment={})


def test_csv_is_a_data_set(tmp_path):
    (block,) = blocks("csv")
    (tmp_path / "dataset.csv").write_text(block.text, encoding="utf-8")
    for row in block.text.splitlines()[1:]:
        write_image(tmp_path / row.split(",")[0])
    splits = csv_set.load(tmp_path)
    assert splits.train == (
        ImageRecord("images/a.jpg", 7, 1, Modality.VISIBLE),
        ImageRecord("images/b.png", 7, 2, Modality.INFRARED),
    )


def test_blocks_are_found():
    counts = {language: len(blocks(language)) for language in ("python", "yaml", "csv", "bash")}
    assert counts["python"] == 11 and counts["yaml"] >= 5 and counts["csv"] == 1
    assert counts["bash"] > 40
