"""The layout of ORBench: visible, near-infrared, colour-pencil and sketched images, and captions.

``{vis,nir,cp,sk}/{pid:04d}/{name}.jpg``; ``train_annos.json``, a caption for each visible training
image, and ``test_gallery_and_queries.json``, the gallery and the queries of several tasks.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from vireid.synthetic.cameras import sysu_cameras
from vireid.synthetic.pedestrians.caption import caption
from vireid.synthetic.writers.layout import Layout, SetContent, SetNumbers
from vireid.synthetic.writers.pictures import Shot, person_of

KINDS = {1: "vis", 2: "vis", 3: "nir", 4: "vis", 5: "vis", 6: "nir"}  # by camera
DRAWINGS = {"cp": "vis", "sk": "nir"}  # colour pencil and sketch: copies of a picture of that kind

ByKind = Mapping[str, Sequence[str]]  # kind of image → paths


def _shots(pid: int, images: int) -> list[Shot]:
    return [
        Shot(pid, camera, n, f"{kind}/{pid:04d}/c{camera}_{n:04d}.jpg")
        for camera, kind in KINDS.items()
        for n in range(1, images + 1)
    ]


def _annotations(pids: Sequence[int], paths: Mapping[int, ByKind], text: Mapping[int, str]) -> str:
    """``id`` counts the training identities from 1; the folder's number is another one."""
    rows = [
        {"id": label, "file_path": path, "caption": text[pid]}
        for label, pid in enumerate(pids, start=1)
        for path in paths[pid]["vis"]
    ]
    return json.dumps(rows)


def _test_lists(pids: Sequence[int], paths: Mapping[int, ByKind], text: Mapping[int, str]) -> str:
    """The gallery and five of the real set's tasks: rows of an identity and its query."""
    rows: dict[str, list[list[Any]]] = defaultdict(list)
    for pid in pids:
        of = paths[pid]
        rows["RGB_GALLERY"] += [[pid, path] for path in of["vis"]]
        rows["NIR"] += [[pid, path] for path in of["nir"]]
        rows["CP"] += [[pid, path] for path in of["cp"]]
        rows["SK"] += [[pid, path] for path in of["sk"]]
        rows["TEXT"].append([pid, text[pid]])
        rows["TEXT+NIR"].append([pid, text[pid], of["nir"][0]])
    return json.dumps(rows)


def _content(numbers: SetNumbers) -> SetContent:
    """Any identities train; the drawings are copies of the first picture of their kind."""
    shots = [shot for pid in numbers.pids for shot in _shots(pid, numbers.images)]
    paths: dict[int, dict[str, list[str]]] = {pid: defaultdict(list) for pid in numbers.pids}
    for shot in shots:
        paths[shot.pid][KINDS[shot.camera]].append(shot.path)
    copies = {}
    for pid, of in paths.items():
        for kind, source in DRAWINGS.items():
            of[kind].append(f"{kind}/{pid:04d}/0001.jpg")
            copies[of[kind][0]] = of[source][0]
    order = numbers.random("split").permutation(numbers.pids).tolist()
    train, test = sorted(order[numbers.test_ids :]), sorted(order[: numbers.test_ids])
    text = {pid: caption(person_of(numbers.seed, pid)) for pid in numbers.pids}
    files = {
        "train_annos.json": _annotations(train, paths, text),
        "test_gallery_and_queries.json": _test_lists(test, paths, text),
    }
    return SetContent(shots, files, copies)


ORBENCH = Layout(
    draw_cameras=sysu_cameras,
    content=_content,
    images=4,
)
