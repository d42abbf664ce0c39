"""What several tests share: small hand-made trees of the data sets, readers of configurations."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torch import nn
from yacs.config import CfgNode

from vireid.config.load import flatten
from vireid.errors import UsageError
from vireid.models.backbones.base import Backbone
from vireid.models.pretrained import load_weights
from vireid.models.reid_model import ReidModel
from vireid.models.two_stream import share_stages
from vireid.structures import ImageRecord, Modality

INFRARED_CAMERAS = (3, 6)
SYSU_IDS = {"train": [1, 7], "val": [12], "test": [305]}


def write_image(
    path: Path, size: tuple[int, int] = (16, 8), color: tuple[int, int, int] = (200, 100, 50)
) -> Path:
    """A solid-colour image of ``size`` (height, width); folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], color).save(path)
    return path


def write_sysu(
    root: Path,
    ids: Mapping[str, Sequence[int]] = SYSU_IDS,
    *,
    cameras: Iterable[int] = range(1, 7),
    images: int = 1,
    permutations: bool = False,
) -> Path:
    """SYSU-MM01's tree: each identity has ``images`` images under each of ``cameras``."""
    for camera in range(1, 7):
        (root / f"cam{camera}").mkdir(parents=True, exist_ok=True)
    pids = sorted({pid for part in ids.values() for pid in part})
    for camera in cameras:
        for pid in pids:
            for number in range(1, images + 1):
                write_image(root / f"cam{camera}" / f"{pid:04d}" / f"{number:04d}.jpg")
    (root / "exp").mkdir()
    for part, members in ids.items():
        text = ",".join(str(pid) for pid in members)
        (root / "exp" / f"{part}_id.txt").write_text(text + "\n")
    if permutations:
        savemat(root / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": np.zeros((6, 1))})
    return root


def write_permutations(path: Path, images: Mapping[tuple[int, int], int]) -> Path:
    """``rand_perm_cam.mat``: (camera, identity) → its number of images."""
    cameras = np.empty((6, 1), dtype=object)
    for camera in range(1, 7):
        last = max((pid for seen, pid in images if seen == camera), default=0)
        cameras[camera - 1, 0] = np.empty((last, 1), dtype=object)
        for pid in range(1, last + 1):
            numbers = np.arange(1, images.get((camera, pid), 0) + 1, dtype=np.uint8)
            cameras[camera - 1, 0][pid - 1, 0] = np.tile(numbers, (10, 1))
    savemat(path, {"rand_perm_cam": cameras})
    return path


def write_regdb(
    root: Path,
    ids: Mapping[int, tuple[Sequence[int], Sequence[int]]] | None = None,
    *,
    images: int = 1,
) -> Path:
    """RegDB's tree with the lists of the given splits.

    Args:
        ids: split → (training identities, test identities); two mirrored splits by default.
        images: per identity and camera.
    """
    ids = ids or {1: ([1, 2], [3, 4]), 2: ([3, 4], [1, 2])}
    (root / "idx").mkdir(parents=True)
    for trial, parts in ids.items():
        for part, pids in zip(("train", "test"), parts, strict=True):
            for camera in ("Visible", "Thermal"):
                names = [
                    f"{camera}/{pid}/{camera[0].lower()}_{n}.bmp"
                    for pid in pids
                    for n in range(1, images + 1)
                ]
                for name in names:
                    write_image(root / name)
                labels = [label for label in range(len(pids)) for _ in range(images)]
                lines = [f"{name} {label}\n" for name, label in zip(names, labels, strict=True)]
                (root / f"idx/{part}_{camera.lower()}_{trial}.txt").write_text("".join(lines))
    return root


LLCM_IDS = ([1, 351], [7, 20])


def write_llcm(root: Path, ids: tuple[Sequence[int], Sequence[int]] = LLCM_IDS) -> Path:
    """LLCM's tree: (training, test) identities, one visible and one infrared image of each.

    Training images are of cameras 1 (visible) and 6 (infrared), test images of 1 and 2.
    """
    for folder in ("idx", "vis", "nir", "test_vis", "test_nir"):
        (root / folder).mkdir(parents=True)
    for kind, train_camera, test_camera in (("vis", 1, 1), ("nir", 6, 2)):
        lines = []
        for label, pid in enumerate(ids[0]):
            name = f"{kind}/{pid:04d}/{pid:04d}_c{train_camera:02d}_s200656_f4830_{kind}.jpg"
            write_image(root / name)
            lines.append(f"{name} {label}\n")
        for pid in ids[1]:
            name = f"{pid:04d}_c{test_camera:02d}_s1_f1_{kind}.jpg"
            write_image(root / f"test_{kind}/cam{test_camera}/{pid:04d}/{name}")
        write_text(root / f"idx/train_{kind}.txt", "".join(lines))
    write_text(root / "idx/test_id.txt", ",".join(str(pid) for pid in ids[1]))
    return root


VERI_NAMES = {
    "image_train": ["0002_c001_00000010_0.jpg", "0002_c020_00000020_1.jpg", "0007_c003_1_0.jpg"],
    "image_query": ["0005_c002_00000030_0.jpg"],
    "image_test": ["0005_c002_00000030_0.jpg", "0005_c004_00000040_0.jpg", "0009_c004_5_2.jpg"],
}


def write_veri(root: Path, names: Mapping[str, Sequence[str]] = VERI_NAMES, *, lists: bool) -> Path:
    """VeRi-776's tree: file names by folder, with the lists of names or without."""
    for folder, members in names.items():
        (root / folder).mkdir(parents=True)
        for name in members:
            write_image(root / folder / name)
        if lists:
            part = folder.removeprefix("image_")
            write_text(root / f"name_{part}.txt", "".join(f"{name}\n" for name in members))
    return root


ORBENCH_IDS = ([3, 12], [5, 9])


def write_orbench(
    root: Path, ids: tuple[Sequence[int], Sequence[int]] = ORBENCH_IDS, *, images: int = 1
) -> Path:
    """ORBench's tree: (training, test) identities, ``images`` visible and infrared ones of each.

    The training list numbers its identities from 1; a task with texts is in the test list, too.
    """
    paths = {
        (kind, pid): [f"{kind}/{pid:04d}/{kind}_{n}.jpg" for n in range(1, images + 1)]
        for kind in ("vis", "nir")
        for pid in (*ids[0], *ids[1])
    }
    for names in paths.values():
        for name in names:
            write_image(root / name)
    entries = [
        {"id": label, "file_path": path, "caption": ["a man"]}
        for label, pid in enumerate(ids[0], 1)
        for path in paths["vis", pid]
    ]
    lists = {
        name: [[pid, p] for pid in ids[1] for p in paths[kind, pid]]
        for name, kind in (("RGB_GALLERY", "vis"), ("NIR", "nir"))
    }
    lists["TEXT"] = [[pid, "a man"] for pid in ids[1]]
    write_text(root / "train_annos.json", json.dumps(entries))
    write_text(root / "test_gallery_and_queries.json", json.dumps(lists))
    return root


VEHICLEID_LISTS = {  # vehicle → images
    "train_list": {3: [11, 12], 4: [0]},
    "test_list_800": {7: [21, 22]},
    "test_list_1600": {7: [22, 21], 9: [31]},
    "test_list_2400": {5: [41, 42], 9: [31], 7: [21, 22]},
}


def write_vehicleid(
    root: Path, lists: Mapping[str, Mapping[int, Sequence[int]]] = VEHICLEID_LISTS
) -> Path:
    """VehicleID's tree: images by vehicle of each list."""
    (root / "image").mkdir(parents=True)
    for name, images in lists.items():
        lines = [(number, pid) for pid, numbers in images.items() for number in numbers]
        for number, _ in lines:
            write_image(root / f"image/{number:07d}.jpg")
        text = "".join(f"{number:07d} {pid}\n" for number, pid in lines)
        write_text(root / f"train_test_split/{name}.txt", text)
    return root


def sysu_record(camera: int, pid: int, number: int = 1) -> ImageRecord:
    """What reading ``cam<camera>/<pid>/<number>.jpg`` must give."""
    modality = Modality.INFRARED if camera in INFRARED_CAMERAS else Modality.VISIBLE
    return ImageRecord(f"cam{camera}/{pid:04d}/{number:04d}.jpg", pid, camera, modality)


def records_of(counts: Mapping[int, tuple[int, int]]) -> list[ImageRecord]:
    """Records without files: pid → (visible images, infrared images)."""
    return [
        ImageRecord(f"{modality.name.lower()}/{pid}/{n}.jpg", pid, int(modality) + 1, modality)
        for pid, numbers in counts.items()
        for modality, number in zip(Modality, numbers, strict=True)
        for n in range(number)
    ]


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def value_of(cfg: CfgNode, key: str) -> Any:
    """The option that ``A.B.C`` names."""
    return flatten(cfg)[key]


def load_line(backbone: Backbone, path: Path) -> str:
    """Loads a file into a backbone, as into a model with one stream; what the log says of it."""
    stages = share_stages(list(backbone.stages), len(backbone.stages))
    model = ReidModel(stages, nn.Identity(), dim=2, num_classes=2)
    return load_weights(model, path).origin


def problems_of(error: pytest.ExceptionInfo[UsageError]) -> list[str]:
    """The problems that a refused configuration's message lists."""
    return str(error.value).split("\n  - ")[1:]


def log_of(run: Path) -> str:
    """A run's log.txt with its line breaks as blanks: long messages may break anywhere."""
    return " ".join((run / "log.txt").read_text(encoding="utf-8").split())


VCM_TRACKS = {  # part → (identity, modality: 1 infrared or 2 visible, camera, frames)
    "train": [(1, 1, 2, 13), (1, 2, 3, 12), (1, 2, 3, 11), (2, 1, 2, 12), (2, 2, 4, 12)],
    "test": [(503, 2, 1, 12), (503, 1, 2, 12), (504, 1, 2, 12), (504, 1, 3, 3), (504, 2, 3, 14)],
}


def write_vcm(
    root: Path,
    tracks: Mapping[str, Sequence[tuple[int, int, int, int]]] = VCM_TRACKS,
    queries: Sequence[int] = (2, 3, 4),
) -> Path:
    """HITSZ-VCM's tree; the numbers of an identity's frames in a camera go on from track to track.

    Args:
        tracks: part → (identity, modality, camera, frames) of each track.
        queries: rows of test tracks.
    """
    for part, rows in tracks.items():
        names: list[str] = []
        lines, seen = [], Counter[tuple[int, int, int]]()
        (root / part.capitalize()).mkdir(parents=True)
        for pid, kind, camera, frames in rows:
            folder = f"{part.capitalize()}/{pid:04d}/{'ir' if kind == 1 else 'rgb'}/D{camera}"
            lines.append(f"{kind} {len(names) + 1} {len(names) + frames} {pid:04d} {camera}\n")
            for _ in range(frames):
                seen[pid, kind, camera] += 1
                number = seen[pid, kind, camera]
                names.append(f"{pid:04d}M{kind}D{camera}T1F{number}.jpg")
                write_image(root / folder / f"{number}.jpg", (8, 4), (pid % 256, 99, number))
        write_text(root / f"info/{part}_name.txt", "".join(f"{name}\n" for name in names))
        write_text(root / f"info/track_{part}_info.txt", "".join(lines))
    write_text(root / "info/query_IDX.txt", " ".join(map(str, queries)) + "\n")
    return root


BUPT_LISTS = {
    "train": ["7 RGB/IR LS3 1", "7 RGB/IR G25 1", "20 RGB/IR W4 1", "20 RGB/IR TSG1 2"],
    "train_auxiliary": ["3 RGB/IR CQ1 1"],
    "query": ["101 IR LS3 1", "102 RGB TSG2 1"],
    "gallery": ["101 RGB/IR G25 1", "102 RGB/IR LS3 1", "102 RGB/IR LS3 2"],
}


def write_bupt(
    root: Path, lists: Mapping[str, Sequence[str]] = BUPT_LISTS, *, frames: int = 3
) -> Path:
    """BUPTCampus's tree: lines of each list; every track has as many frames."""
    paths: dict[str, Any] = {}
    for name, lines in lists.items():
        write_text(root / f"{name}.txt", "".join(f"{line}\n" for line in lines))
        for pid, kinds, camera, track in map(str.split, lines):
            for kind in kinds.split("/"):
                place = paths.setdefault(pid, {}).setdefault(kind, {}).setdefault(camera, {})
                place[track] = [
                    f"{pid}/{kind}/{camera}/{pid}_{kind}_{camera}_{track}_{n}.jpg"
                    for n in range(8535, 8535 + frames)
                ]
                for number, frame in enumerate(place[track]):
                    shade = 60 * number + 30 * (kind == "IR")
                    place_shade = sum(map(ord, camera)) % 100 + 70 * int(track)
                    color = (53 * int(pid) % 256, place_shade, shade)
                    write_image(root / "DATA" / frame, (8, 4), color)
    write_text(root / "data_paths.json", json.dumps(paths))
    return root
