"""Features and permutations from other programs: .npz, .mat and text files, spoilt."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from scipy.io import savemat
from scipy.sparse import csc_matrix

from tests.fuzz.mutate import encoded, mutate_bytes, mutate_text
from tests.fuzz.payload import payload
from vireid.cli import evaluate
from vireid.data.datasets.sysu import permutation_problems
from vireid.evaluation.feature_files import read_source
from vireid.evaluation.query_gallery import read_permutations
from vireid.evaluation.results import read_results
from vireid.structures import ImageRecord, Modality

Use = Callable[[], object]
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
    """A features.npz with a spoilt array, archive or header; what scores has finite scores."""
    path = folder / "features.npz"
    how = random.randint(0, 5)
    if how <= 1:
        arrays = _spoilt(dict(good_arrays()), random, folder)
        _write(path, arrays, compressed=bool(random.randint(0, 1)))
    elif how == 2:
        _write(path, good_arrays(), compressed=True)
        path.write_bytes(mutate_bytes(path.read_bytes(), random))
    elif how == 3:
        _rezip(path, random)
    elif how == 4:
        _bomb(path, random)
    else:
        _write(path, good_arrays(), compressed=False)
        path.write_bytes(mutate_bytes(path.read_bytes(), random))
    protocol = random.choice(("csv", "llcm", "sysu_all_single", "regdb", "veri", "vehicleid_800"))
    draw = ["--gallery-draw", "seeded"] if protocol.startswith("sysu") else []

    def use() -> None:
        read_source(path)
        _scored(["--features", str(path), "--protocols", protocol, *draw], folder / "results.json")

    return use


def official(folder: Path, random: Random) -> Use:
    """A folder of ``*_cam1.mat`` … with one of them spoilt."""
    spoilt = random.choice(list(CAMERAS))
    for camera in CAMERAS:
        path = folder / f"x_cam{camera}.mat"
        cells = np.empty((len(PIDS), 1), dtype=object)
        for k in range(len(PIDS)):
            cells[k, 0] = np.random.default_rng(k + camera).standard_normal((IMAGES, 4))
        if camera != spoilt:
            savemat(path, {"feature": cells})
        else:
            _spoilt_mat(path, "feature", cells, random)
    words = ["--features", str(folder), "--protocols", "sysu_all_single"]
    return lambda: _scored([*words, "--gallery-draw", "seeded"], folder / "results.json")


def permutations(folder: Path, random: Random) -> Use:
    """A rand_perm_cam.mat, read by the evaluator and by the check of a data set."""
    cameras = np.empty((6, 1), dtype=object)
    for camera in range(6):
        cameras[camera, 0] = np.empty((4, 1), dtype=object)
        for pid in range(4):
            rows = [np.random.default_rng(pid + t).permutation(5) + 1 for t in range(10)]
            cameras[camera, 0][pid, 0] = np.stack(rows)
    path = folder / "rand_perm_cam.mat"
    _spoilt_mat(path, "rand_perm_cam", cameras, random)
    test = [ImageRecord(f"cam1/0001/{k}.jpg", 1, 1, Modality.VISIBLE) for k in range(5)]

    def use() -> None:
        list(permutation_problems(path, test))
        known = read_permutations(path)
        assert all(rows.dtype == np.int64 and rows.min() == 1 for rows in known.values())

    return use


def identities_to_score(folder: Path, random: Random) -> Use:
    """A file of identities to score."""
    _write(folder / "features.npz", good_arrays(), compressed=False)
    path = folder / "ids.txt"
    path.write_bytes(encoded(mutate_text("1,2,3\n", random), random))
    words = ["--features", str(folder / "features.npz"), "--protocols", "csv"]
    return lambda: _scored([*words, "--test-ids", str(path)], folder / "results.json")


def _scored(words: list[str], out: Path) -> None:
    """Scores; if that succeeds, the scores are shares."""
    code = evaluate.main([*words, "--out", str(out)])
    if code:
        raise SystemExit(code)
    for entry in read_results(out)["protocols"].values():
        assert all(0 <= value <= 1 for value in entry["mean"].values()), entry["mean"]


def _write(path: Path, arrays: Mapping[str, Any], *, compressed: bool) -> None:
    (np.savez_compressed if compressed else np.savez)(path, allow_pickle=True, **arrays)


def _spoilt(arrays: dict[str, Any], random: Random, folder: Path) -> dict[str, Any]:
    """One or two arrays become something that the format forbids, or nearly does."""
    for _ in range(random.randint(1, 2)):
        name = random.choice(list(arrays))
        change = random.choice(_CHANGES)
        arrays[name] = change(arrays[name], random, folder)
        if arrays[name] is None:
            del arrays[name]
    return arrays


def _placed(value: Any) -> Callable[[np.ndarray, Random, Path], np.ndarray]:
    def change(array: np.ndarray, random: Random, folder: Path) -> np.ndarray:
        changed = array.astype(object) if isinstance(value, str) else array.copy()
        if changed.size:
            with suppress(ValueError, TypeError, OverflowError):  # no value of that type
                changed.flat[random.randint(0, changed.size - 1)] = value
        return changed.astype(str) if isinstance(value, str) else changed

    return change


def _code(array: np.ndarray, random: Random, folder: Path) -> np.ndarray:
    objects = np.empty(len(array) if array.ndim else 1, dtype=object)
    objects[:] = payload(folder / "sentinel")
    return objects


def _as(dtype: str) -> Callable[[np.ndarray, Random, Path], np.ndarray]:
    def change(array: np.ndarray, random: Random, folder: Path) -> np.ndarray:
        try:
            return array.astype(dtype)
        except (ValueError, TypeError):
            return np.zeros(array.shape, dtype=dtype)

    return change


_CHANGES: tuple[Callable[[np.ndarray, Random, Path], Any], ...] = (
    lambda a, r, f: None,
    lambda a, r, f: a[: r.randint(0, len(a))] if a.ndim else a,
    lambda a, r, f: a[..., None],
    lambda a, r, f: np.concatenate([a, a]) if a.ndim else a,
    lambda a, r, f: np.zeros_like(a),
    lambda a, r, f: np.array(a.flat[0]) if a.size else a,
    lambda a, r, f: np.repeat(a[:1], len(a), axis=0) if a.ndim else a,  # all alike
    lambda a, r, f: a.astype(object),
    lambda a, r, f: np.zeros(a.shape, dtype=[("x", "i4"), ("y", "U3")]),
    _code,
    *(
        _as(dtype)
        for dtype in (">f8", "float16", "longdouble", "complex64", "bool", "uint64", "S8", "U8")
        + ("M8[s]", "int8")
    ),
    *(
        _placed(value)
        for value in (0, -1, 255, "", "\x1b[31m", "\ud800", "../x", "/x", "a\\b", "a\nb")
    ),
    lambda a, r, f: (
        _placed(r.choice((np.nan, np.inf, 1e38, 1e300)))(a.astype(float), r, f)
        if a.dtype.kind in "fiu"
        else a
    ),
)


def _rezip(path: Path, random: Random) -> None:
    """An archive whose checksums are right around one member that is not."""
    whole = io.BytesIO()
    np.savez(whole, **good_arrays())
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        spoilt = random.choice(source.namelist())
        for name in source.namelist():
            content = source.read(name)
            if name == spoilt:
                content = mutate_bytes(content, random)
                name = random.choice((name, name, name, name.removesuffix(".npy"), "../x.npy"))
            target.writestr(name, content)
            if name == spoilt and not random.randint(0, 5):
                target.writestr(name, content)  # one name twice


def _bomb(path: Path, random: Random) -> None:
    """Much out of little: a header that promises terabytes, or zeros that were packed well."""
    if random.randint(0, 3):
        shape = random.choice(((10**12, 8), (2**40, 2**40), (2**62,), (-1, 8), (10**30,)))
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        if not random.randint(0, 4):
            header = "(" * 3000 + header
        body = header.encode().ljust(246) + b"\n"
        npy = b"\x93NUMPY\x02\0" + len(body).to_bytes(4, "little") + body + bytes(64)
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("features.npy", npy)
        return
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "<f4", "fortran_order": False, "shape": (400_000_000, 1)}
    )
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("features.npy", "w", force_zip64=True) as target,
    ):
        target.write(member.getvalue())
        for _ in range(100):
            target.write(bytes(16_000_000))


def _spoilt_mat(path: Path, name: str, cells: np.ndarray, random: Random) -> None:
    how = random.randint(0, 3)
    if how == 0:  # something else under the right name
        savemat(path, {name: random.choice(_odd_matrices())})
    elif how == 1:  # one cell is something else
        inner = cells[random.randint(0, len(cells) - 1), 0] if cells[0, 0].dtype == object else None
        (cells if inner is None else inner)[0, 0] = random.choice(_odd_matrices())
        savemat(path, {name: cells}, do_compression=bool(random.randint(0, 1)))
    else:
        savemat(path, {name: cells}, do_compression=how == 3)
        whole = path.read_bytes()
        # scipy does not survive every change of a file that is not packed (docs/robustness.md)
        cut = whole[: random.randint(0, len(whole))]
        path.write_bytes(mutate_bytes(whole, random) if how == 3 else cut)


def _odd_matrices() -> tuple[Any, ...]:
    mixed = np.empty((1, 2), dtype=object)
    mixed[0, 0], mixed[0, 1] = np.array([[1.0]]), np.array(["a"])
    nested = np.empty((2, 1), dtype=object)
    nested[0, 0], nested[1, 0] = mixed, np.zeros((0, 0))
    return (
        "text",
        3.0,
        np.zeros((0, 0)),
        csc_matrix(np.eye(3)),
        {"a": 1, "b": mixed},
        mixed,
        nested,
        np.array([["ab", "c"]]),
        np.ones((2, 3, 4)),
        np.full((10, 5), np.nan),
        np.full((10, 5), 1e300),
        np.ones((10, 5)) * 1j,
        np.tile(np.arange(1, 6), (10, 1)).astype(np.uint8),
        np.tile(np.arange(1, 6), (10, 1)) + 0.5,
        np.ones((10, 0)),
        np.array([[True, False]]),
    )
