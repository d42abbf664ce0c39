"""ORBench: near-infrared queries in a visible gallery (Zuo et al., NeurIPS 2025, ReID5o).

The set also has colour-pencil drawings, sketches and texts, which are not read.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from vireid.data.datasets.files import (
    check_seen,
    folder_records,
    images_below,
    is_file,
    make_splits,
    require_root,
)
from vireid.data.datasets.info import DatasetInfo, ListCheck, count_images
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits
from vireid.utils.io import NUMBER, read_text
from vireid.utils.paths import exists_as

FOLDERS = {"vis": Modality.VISIBLE, "nir": Modality.INFRARED}
TRAIN_LIST, TEST_LIST = "train_annos.json", "test_gallery_and_queries.json"
GALLERY, TASK = "RGB_GALLERY", "NIR"
SHOWN = 12  # names of tasks in a message
Row = tuple[str, int, PurePosixPath]  # where it is, for messages; listed number; path


def load(root: str | Path, *, split: str = "train+val", split_trial: int = 1) -> Splits:
    """Reads both JSON files.

    Training images are the visible ones of ``train_annos.json`` and all infrared ones of their
    identities' folders in ``nir``. Test images are the gallery and the task ``NIR`` of
    ``test_gallery_and_queries.json``. The folder's number is the identity; the number beside a path
    (``id`` counts from 1 in the training list) must be another one for each folder, and the same
    one for all images of a folder. An image that is listed twice counts once. No cameras are
    published: visible images count as camera 1, infrared ones as camera 2.
    """
    root = require_root(root, INFO, [*FOLDERS, TRAIN_LIST, TEST_LIST])
    visible = _records(root, _train_rows(root / TRAIN_LIST), "vis", TRAIN_LIST)
    folders = {record.pid: PurePosixPath(record.path).parts[1] for record in visible}
    infrared = [
        record
        for pid, folder in sorted(folders.items())
        for record in folder_records(root, f"nir/{folder}", pid, 2, Modality.INFRARED)
    ]
    check_seen(infrared, list(folders), f"{root}/nir")
    tasks = _tasks(root / TEST_LIST)
    rows = {"vis": _test_rows(root, tasks, GALLERY), "nir": _test_rows(root, tasks, TASK)}
    _check_numbers(chain(*rows.values()))
    test = [r for kind, found in rows.items() for r in _records(root, found, kind, TEST_LIST)]
    return make_splits(root, [*visible, *infrared], test, split)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, too large numbers, no JSON
        raise DataError(
            f"{path} is damaged, or no JSON ({error!s:.200}): copy it again from the data set"
        ) from error


def _train_rows(path: Path) -> list[Row]:
    """Every entry of the training list; a number belongs to one folder."""
    entries = _read_json(path)
    if not isinstance(entries, list):
        raise DataError(
            f'{path} must hold a list of {{"id": 1, "file_path": "vis/0001/….jpg", …}}, '
            f"got {_kind(entries)}"
        )
    rows = []
    for i, entry in enumerate(entries, 1):
        where = f"{path}, entry {i}"
        if not isinstance(entry, dict) or not {"id", "file_path"} <= entry.keys():
            raise DataError(f"{where} must have id and file_path, got {_shown(entry)}")
        rows.append(_row(where, entry["id"], entry["file_path"], "vis"))
    if not rows:
        raise DataError(f"{path} lists no image")
    _check_numbers(rows)
    return rows


def _tasks(path: Path) -> dict[str, Any]:
    """The test file's content, by names of tasks; those that are scored are there."""
    tasks = _read_json(path)
    if not isinstance(tasks, dict):
        raise DataError(
            f'{path} must hold {{"{GALLERY}": [[identity, path], …], "{TASK}": [[identity, path], '
            f"…]}}, got {_kind(tasks)}"
        )
    for name in (GALLERY, TASK):
        if name not in tasks:
            found = ", ".join(list(tasks)[:SHOWN]) + (" …" if len(tasks) > SHOWN else "")
            raise DataError(f"{path} has no {name}; it has {found or 'nothing'}")
    return tasks


def _test_rows(root: Path, tasks: Mapping[str, Any], name: str) -> list[Row]:
    """The rows of the gallery or of a task."""
    where = f"{root / TEST_LIST}, {name}"
    listed, folder = tasks[name], "vis" if name == GALLERY else "nir"
    if not isinstance(listed, list):
        raise DataError(f"{where} must be a list of [identity, path], got {_kind(listed)}")
    if not listed:
        raise DataError(f"{where} lists no image")
    rows = []
    for i, row in enumerate(listed, 1):
        if not isinstance(row, list) or len(row) < 2:
            raise DataError(f"{where}, row {i} must be [identity, path], got {_shown(row)}")
        rows.append(_row(f"{where}, row {i}", row[0], row[1], folder))
    return rows


def _row(where: str, number: object, path: object, folder: str) -> Row:
    """One listed image.

    Raises:
        DataError: no whole number, or a path that is not in a numbered folder of ``folder``.
    """
    text = str(number)
    if isinstance(number, bool) or not isinstance(number, int | str) or not NUMBER.fullmatch(text):
        raise DataError(f"{where}: the identity must be a whole number, got {_shown(number)}")
    parts = PurePosixPath(path.replace("\\", "/")).parts if isinstance(path, str) else ()
    if len(parts) < 3 or parts[0] != folder or not NUMBER.fullmatch(parts[1]) or ".." in parts:
        raise DataError(
            f"{where}: the path must be {folder}/<identity>/<image>, got {_shown(path)}"
        )
    return where, int(text), PurePosixPath(*parts)


def _check_numbers(rows: Iterable[Row]) -> None:
    """Raises ``DataError`` if two identities share a number, or one has two."""
    folder_of: dict[int, tuple[int, PurePosixPath]] = {}
    number_of: dict[int, tuple[int, PurePosixPath]] = {}
    for where, number, path in rows:
        pid = int(path.parts[1])
        known, other = folder_of.setdefault(number, (pid, path))
        if known != pid:
            raise DataError(
                f"{where}: {path} has the identity {number}, which {other} has, too: one of them "
                "is wrong"
            )
        known, other = number_of.setdefault(pid, (number, path))
        if known != number:
            raise DataError(
                f"{where}: {path} has the identity {number}, but {other} of the same person has "
                f"{known}: one of them is wrong"
            )


def _records(root: Path, rows: Sequence[Row], folder: str, name: str) -> list[ImageRecord]:
    """Records of listed images, each once, which must exist."""
    paths = dict.fromkeys(path for _, _, path in rows)
    missing = [str(path) for path in paths if not is_file(root / path)]
    if missing:
        raise DataError(
            f"{name} lists {len(missing)} images that are not under {root}, the first: "
            f"{', '.join(missing[:3])}{exists_as(root / missing[0])}"
        )
    modality = FOLDERS[folder]
    return [ImageRecord(str(p), int(p.parts[1]), int(modality) + 1, modality) for p in paths]


def _kind(value: object) -> str:
    """What a JSON value is, in a word."""
    names = {list: "a list", dict: "names and values", str: "a text", type(None): "nothing"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    return f"{json.dumps(value, ensure_ascii=False):.100}"


def check_lists(root: str | Path, reduced: bool) -> ListCheck:
    """Counts the images of both folders, and names what is not read or not listed."""
    splits = load(root)
    found = {
        kind: [
            path.relative_to(splits.root).as_posix() for path in images_below(splits.root / kind)
        ]
        for kind in FOLDERS
    }
    people = {PurePosixPath(path).parts[1] for path in chain(*found.values())}
    counts = {
        "identities": len(people),
        "visible images": len(found["vis"]),
        "infrared images": len(found["nir"]),
    }
    return ListCheck([splits], counts | count_images(splits), notes=[*_notes(splits, found)])


def _notes(splits: Splits, found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Lines about tasks that are not read, about images in no list, and about repeated rows."""
    tasks = _tasks(splits.root / TEST_LIST)
    others = [name for name in tasks if name not in (GALLERY, TASK)]
    if others:
        named = ", ".join(others[:SHOWN]) + (" …" if len(others) > SHOWN else "")
        yield f"tasks of the test list that are not read: {len(others)} ({named})"
    records = splits.train + splits.test
    known = {record.path for record in records}
    unlisted: dict[str, list[str]] = defaultdict(list)
    for kind, paths in found.items():
        unlisted[kind] = [path for path in paths if path not in known]
        if unlisted[kind]:
            number, first = len(unlisted[kind]), unlisted[kind][0]
            yield f"images in {kind} that no list names: {number}, the first: {first}"
    for name, modality in ((GALLERY, Modality.VISIBLE), (TASK, Modality.INFRARED)):
        repeated = len(tasks[name]) - sum(r.modality is modality for r in splits.test)
        if repeated:
            yield f"rows of {name} that repeat an image, which counts once: {repeated}"


INFO = DatasetInfo(
    name="orbench",
    load=load,
    tree="""\
  ROOT/vis/<identity, 4 digits>/<image>.jpg   ROOT/nir/<identity>/<image>.jpg   (cp, sk: not read)
  ROOT/train_annos.json               [{"id": 1, "file_path": "vis/0001/a.jpg", …}, …]
  ROOT/test_gallery_and_queries.json  {"RGB_GALLERY": [[1, "vis/0001/a.jpg"], …], "NIR": […], …}""",
    where_to_get="ORBench is given on request, under an agreement: "
    "https://github.com/Zplusdragon/ReID5o_ORBench",
    published={  # of the whole set; how many of each train and test is not published
        "identities": 1_000,
        "visible images": 45_113,
        "infrared images": 26_071,
    },
    image_folders=("vis/*", "nir/*"),
    check_lists=check_lists,
)
