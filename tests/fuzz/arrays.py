"""Features and permutations from other programs: changed .npz, .mat and text files."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from scipy.io import savemat
from scipy.sparse import csc_matrix

from tests.fuzz.harness import Payload, Use, run_tool
from tests.fuzz.mutate import encoded, mutate_bytes, mutate_text
from vireid.cli import evaluate
from vireid.data.datasets.sysu import permutation_problems
from vireid.evaluation.feature_files import read_source
from vireid.evaluation.query_gallery import read_permutations
from vireid.evaluation.results import read_results
from vireid.structures import ImageRecord, Modality

CAMERAS = range(1, 7)
PIDS = (1, 2, 3)
IMAGES = 10


@cache
def good_arrays() -> dict[str, np.ndarray]:
    """Ten images of each of three identities under each of SYSU-MM01's cameras."""
    keys = [(c, p, k) for c in CAMERAS for p in PIDS for k in range(1, IMAGES + 1)]
    rng = np.random.default_rng(0)
    return {
        "features": rng.standard_normal((len(keys), 8), dtype=np.float32),
        "pids": np.array([pid for _, pid, _ in keys]),
        "camids": np.array([camera for camera, _, _ in keys]),
        "modality": np.array([camera in (3, 6) for camera, _, _ in keys], dtype=np.uint8),
        "paths": np.array([f"cam{c}/{p:04d}/{k:04d}.jpg" for c, p, k in keys]),
    }


def features(folder: Path, random: Random) -> Use:
    """A features.npz with a changed array, archive or header."""
    path = folder / "features.npz"
    how, save = random.randint(0, 5), random.choice((np.savez, np.savez_compressed))
    if how == 0:
        _rezip(path, random)
    elif how == 1:
        _bomb(path, random)
    elif how <= 3:
        save(path, **good_arrays())
        path.write_bytes(mutate_bytes(path.read_bytes(), random))
    else:
        save(path, **_changed(good_arrays(), random, folder / "sentinel"))
    protocol = random.choice(("csv", "llcm", "sysu_all_single", "regdb", "veri", "vehicleid_800"))
    draw = ["--gallery-draw", "seeded"] if protocol.startswith("sysu") else []

    def use() -> None:
        read_source(path)
        _scored(["--features", str(path), "--protocols", protocol, *draw], folder / "results.json")

    return use


def official(folder: Path, random: Random) -> Use:
    """A folder of ``*_cam1.mat`` … of which one changes."""
    changed = random.choice(CAMERAS)
    for camera in CAMERAS:
        path = folder / f"x_cam{camera}.mat"
        draw = np.random.default_rng(camera)
        cells = _cells([draw.standard_normal((IMAGES, 4)) for _ in PIDS])
        if camera == changed:
            _write_changed_mat(path, "feature", cells, random)
        else:
            savemat(path, {"feature": cells})
    words = ["--features", str(folder), "--protocols", "sysu_all_single"]
    return lambda: _scored([*words, "--gallery-draw", "seeded"], folder / "results.json")


def permutations(folder: Path, random: Random) -> Use:
    """A rand_perm_cam.mat, read by the evaluator and by the check of a data set."""
    draw = np.random.default_rng(0)
    rows = [[np.stack([draw.permutation(5) + 1] * 10) for _ in range(4)] for _ in CAMERAS]
    path = folder / "rand_perm_cam.mat"
    _write_changed_mat(path, "rand_perm_cam", _cells([_cells(pids) for pids in rows]), random)
    test = [ImageRecord(f"cam1/0001/{k}.jpg", 1, 1, Modality.VISIBLE) for k in range(5)]

    def use() -> None:
        list(permutation_problems(path, test))
        known = read_permutations(path)
        assert all(rows.dtype == np.int64 and rows.min() == 1 for rows in known.values())

    return use


def identities_to_score(folder: Path, random: Random) -> Use:
    """A file of identities to score."""
    np.savez(folder / "features.npz", **good_arrays())
    path = folder / "ids.txt"
    path.write_bytes(encoded(mutate_text("1,2,3\n", random), random))
    words = ["--features", str(folder / "features.npz"), "--protocols", "csv"]
    return lambda: _scored([*words, "--test-ids", str(path)], folder / "results.json")


def _scored(words: list[str], out: Path) -> None:
    """Scores; if that succeeds, the scores are shares."""
    run_tool(evaluate.main, *words, "--out", out)
    for entry in read_results(out)["protocols"].values():
        assert all(0 <= value <= 1 for value in entry["mean"].values()), entry["mean"]


def _changed(arrays: dict[str, Any], random: Random, sentinel: Path) -> dict[str, Any]:
    """Arrays of which one or two are lost, or hold what the format forbids, or nearly does."""
    arrays = dict(arrays)
    for _ in range(random.randint(1, 2)):
        name = random.choice(list(arrays))
        array, how = arrays.pop(name), random.randint(0, 8)
        if how <= 2:
            arrays[name] = random.choice(_SHAPES)(array)
        elif how <= 4:
            arrays[name] = _as(array, random.choice(_DTYPES))
        elif how <= 7:
            arrays[name] = _with(array, random.choice(_PLACED), random)
        elif random.randint(0, 1):
            arrays[name] = np.array([Payload(sentinel)] * max(1, array.size), dtype=object)
    return arrays


_DTYPES: tuple[Any, ...] = (
    *("object", ">f8", "float16", "longdouble", "complex64", "bool", "uint64", "int8"),
    *("S8", "U8", "M8[s]", [("x", "i4"), ("y", "U3")]),
)
_PLACED: tuple[Any, ...] = (
    *(0, -1, 255, np.nan, np.inf, 1e38, 1e300),
    *("", "\x1b[31m", "\ud800", "../x", "/x", "a\\b", "a\nb"),
)
_SHAPES = (
    lambda array: array[: array.size // 2] if array.ndim else array,
    lambda array: array[..., None],
    lambda array: np.concatenate([array, array]) if array.ndim else array,
    lambda array: np.zeros_like(array),
    lambda array: np.array(array.flat[0]) if array.size else array,
    lambda array: np.repeat(array[:1], len(array), axis=0) if array.ndim else array,  # all alike
)


def _as(array: np.ndarray, dtype: Any) -> np.ndarray:
    try:
        return array.astype(dtype)
    except (ValueError, TypeError):
        return np.zeros(array.shape, dtype=dtype)


def _with(array: np.ndarray, value: Any, random: Random) -> np.ndarray:
    """One element becomes another value; numbers become texts where it is one."""
    changed = array.astype(object) if isinstance(value, str) else array.copy()
    if isinstance(value, float) and array.dtype.kind in "fiu":
        changed = array.astype(float)
    if changed.size:
        with suppress(ValueError, TypeError, OverflowError):  # no value of that type
            changed.flat[random.randrange(changed.size)] = value
    return changed.astype(str) if isinstance(value, str) else changed


def _rezip(path: Path, random: Random) -> None:
    """An archive whose checksums are right around one member that is not."""
    whole = io.BytesIO()
    np.savez(whole, **good_arrays())
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        chosen = random.choice(source.namelist())
        for name in source.namelist():
            content = source.read(name)
            if name == chosen:
                content = mutate_bytes(content, random)
                name = random.choice((name, name, name, name.removesuffix(".npy"), "../x.npy"))
            target.writestr(name, content)
            if name == chosen and not random.randint(0, 5):
                target.writestr(name, content)  # one name twice


def _bomb(path: Path, random: Random) -> None:
    """A small file of much data: a header that promises terabytes, or gigabytes of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        if random.randint(0, 3):
            shape = random.choice(((10**12, 8), (2**40, 2**40), (2**62,), (-1, 8), (10**30,)))
            header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
            body = ("(" * random.choice((0, 0, 0, 0, 3000)) + header).encode().ljust(246) + b"\n"
            npy = b"\x93NUMPY\x02\0" + len(body).to_bytes(4, "little") + body + bytes(64)
            file.writestr("features.npy", npy)
            return
        with file.open("features.npy", "w", force_zip64=True) as target:
            header = {"descr": "<f4", "fortran_order": False, "shape": (400_000_000, 1)}
            np.lib.format.write_array_header_1_0(target, header)
            for _ in range(100):
                target.write(bytes(16_000_000))


def _cells(rows: list[Any]) -> np.ndarray:
    """A MATLAB cell array of one column."""
    cells = np.empty((len(rows), 1), dtype=object)
    for k, row in enumerate(rows):
        cells[k, 0] = row
    return cells


def _write_changed_mat(path: Path, name: str, cells: np.ndarray, random: Random) -> None:
    how = random.randint(0, 3)
    if how == 0:  # something else under the right name
        savemat(path, {name: random.choice(_odd_matrices())})
    elif how == 1:  # one cell is something else
        inner = random.choice(cells[:, 0]) if cells[0, 0].dtype == object else cells
        inner[0, 0] = random.choice(_odd_matrices())
        savemat(path, {name: cells}, do_compression=bool(random.randint(0, 1)))
    else:
        savemat(path, {name: cells}, do_compression=how == 3)
        whole = path.read_bytes()
        # scipy does not survive every change of a file that is not packed (docs/robustness.md)
        cut = whole[: random.randint(0, len(whole))]
        path.write_bytes(mutate_bytes(whole, random) if how == 3 else cut)


def _odd_matrices() -> list[Any]:
    mixed = _cells([np.array([[1.0]]), np.array(["a"])]).T
    numbers = [np.full((10, 5), value) for value in (np.nan, 1e300, 1j, 1.5, 1, True)]
    shapes = [np.zeros((0, 0)), np.ones((10, 0)), np.ones((2, 3, 4)), csc_matrix(np.eye(3)), 3.0]
    others = ["text", np.array([["ab", "c"]]), {"a": 1, "b": mixed}, mixed]
    return [*numbers, *shapes, *others, _cells([mixed, np.zeros((0, 0))])]
