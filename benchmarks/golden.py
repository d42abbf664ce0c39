"""Numbers that a change of the code's structure must not move.

    python benchmarks/golden.py record|check FILE.json [--repo DIR] [--work DIR] [--only NAME ...]
    python benchmarks/golden.py speed --repo A --versus B

``record`` runs a checkout's tools on small data and keeps what they compute. ``check`` repeats it
and prints a line per result (exit code 1 when any differs). Numbers are kept with all digits, files
and arrays as sha256; they hold on one machine with one set of packages. No module of the package
is used, so that all may move. ``speed`` runs two checkouts in turn and prints ratios of times.
SYSU-MM01's split files are expected in ../shared/sysu_mm01 or $VIREID_SYSU_SPLITS.
"""

import argparse
import configparser
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

PLAIN = "PRECISION fp32 DEVICE cpu SOLVER.EPOCHS 2 SOLVER.WARMUP_EPOCHS 0 DATA.WORKERS 0"
PEOPLE = f"{PLAIN} MODEL.BACKBONE osnet_x0_25 MODEL.PRETRAINED none INPUT.SIZE [64,32] INPUT.PAD 2"
PEOPLE += " MODEL.MGIM.GRANULARITIES [2,4] MODEL.MGIM.DIM 16 SAMPLER.IDENTITIES 4 SAMPLER.IMAGES 2"
RENDER = "DATA.SYNTHETIC.TRAIN_IDS 12 DATA.SYNTHETIC.TEST_IDS 4 DATA.SYNTHETIC.IMAGES_PER_CAMERA 2"
VEHICLES = f"{PLAIN} {RENDER} SAMPLER.IDENTITIES 6 SOLVER.WARMUP_EPOCHS 1"
DEMO = f"{PEOPLE} {RENDER} DATA.SYNTHETIC.SIZE [96,48]"
TRAIN = f"train --cfg configs/demo.yaml {DEMO} MODEL.SHARED_DEPTH 3 DATA.WORKERS 2"
TRAIN += " SOLVER.SCHEDULE step SOLVER.STEPS [1] TEST.RERANK true OUTPUT_DIR"
LAYOUTS = ("sysu", "regdb", "llcm", "veri", "vehicleid")
RENDERED = "\n".join(
    f"""{name}: make_synthetic --layout {name} --out data/{name} --train-ids 12 --test-ids 6
    --images-per-camera 2 --size 64 64
{name} checked: check_data --dataset {name} --root data/{name} --reduced"""
    for name in LAYOUTS
)
KINDS = {name: name for name in LAYOUTS} | {"sysu": "sysu --permutations MAT", "llcm.csv": "csv"}
KINDS |= {"sysu.seeded": "sysu_all_single sysu_indoor_single --gallery-draw seeded"}
SCORES = "\n".join(
    f"{kind} {metric}: evaluate --features {kind.partition('.')[0]}.npz --metric {metric} --rerank "
    f"--out {kind}.{metric}.json --protocols {protocols}"
    for metric in ("cosine", "euclidean")
    for kind, protocols in KINDS.items()
)
# Scenarios of results, each of a tool and its arguments; MAT stands for the official permutations.
# The first two scenarios are made always; the others use them.
SCENARIOS = configparser.ConfigParser(delimiters=":", interpolation=None)
SCENARIOS.read_string(f"""
[rendered]
{RENDERED}
[demo]
run: {TRAIN} runs/demo
[scores]
{SCORES}
[csv]
checked: check_data --dataset csv --root data/csv
run: train --cfg configs/csv.yaml {PEOPLE} DATA.ROOT data/csv MODEL.SHARED_DEPTH 0
    DATA.SPLIT train SOLVER.SELECT best SOLVER.VAL_EVERY 1 SOLVER.OPTIMIZER sgd
    LOSS.HETERO_CENTER.WEIGHT 0.5 MODEL.MGIM.RELATION attention OUTPUT_DIR runs/csv
[regdb]
run: train --cfg configs/regdb.yaml {PEOPLE} DATA.ROOT data/regdb DATA.TRIAL 2 MODEL.SHARED_DEPTH 2
    MODEL.NORM_STATISTICS dual MODEL.MGIM.RELATION graph SOLVER.GRADIENT_NORMS true
    INPUT.SECOND_VISIBLE true INPUT.CHANNEL_EXCHANGE 1.0 OUTPUT_DIR runs/regdb
[vrkd]
teacher: train --cfg configs/vrkd/demo_teacher.yaml {VEHICLES} OUTPUT_DIR runs/teacher
student: train --cfg configs/vrkd/demo_student.yaml {VEHICLES} TEACHER.WEIGHTS runs/teacher
    OUTPUT_DIR runs/student
[resumed]
stopped: {TRAIN} runs/resumed SOLVER.EPOCHS 1
run: {TRAIN} runs/resumed --resume
[export]
onnx: export --run runs/demo --modality infrared --format onnx --out n.onnx
gallery: search build --model n.onnx --gallery onnx --modality infrared --images data/sysu/cam6
search: search query --model n.onnx --gallery onnx --modality infrared --image data/sysu/cam3
    --json onnx.json
[sweep]
tables: sweep --cfg sweep.yaml {DEMO} SOLVER.EPOCHS 1 OUTPUT_DIR runs/sweep
markdown: table runs/sweep runs/demo --format md
csv: table runs/sweep runs/demo --format csv
latex: table runs/sweep runs/demo --format latex
[other]
cost: cost --cfg configs/demo.yaml configs/sysu.yaml configs/baselines/agw.yaml
    configs/vrkd/veri_teacher.yaml --exits all --rounds 0 --json cost.json
exits: evaluate --run runs/demo --out exits.json TEST.EMBED global TEST.EXIT shallow1
    TEST.GALLERY_EXIT deep TEST.METRIC euclidean
ranks: visualize ranks --run runs/demo --out ranks.png
activations: visualize activations --run runs/demo --out activations.png
curves: visualize curves runs/demo --out curves.png
tsne: tsne --run runs/demo --out tsne.png
report: report runs/demo --out report.html
[mistakes]
unknown key: {TRAIN} runs/wrong MODEL.SHARE_DEPTH 3
run folder in use: {TRAIN} runs/demo
missing data: {TRAIN} runs/wrong DATA.ROOT nowhere
too few identities: {TRAIN} runs/wrong SAMPLER.IDENTITIES 99
nothing to resume: {TRAIN} runs/wrong --resume
missing teacher: {TRAIN} runs/wrong TEACHER.WEIGHTS gone
loss not finite: {TRAIN} runs/diverged SOLVER.BASE_LR 1e30
run without a checkpoint: evaluate --run data
no permutations: evaluate --features sysu.npz --protocols sysu_all_multi
""")
PRINTED = ("evaluate", "check_data", "table")  # what they print holds no times
TARGETS = ("--out", "--json", "OUTPUT_DIR")  # the word after them names what is kept
TIMES = ("seconds", "wait_share", "peak_memory_mib")  # columns of metrics.csv


class Bench:
    """The tools of one checkout, at work in one folder."""

    def __init__(self, repo: Path, work: Path) -> None:
        self.repo, self.work = repo.resolve(), work.resolve()
        self.splits = self.repo / os.environ.get("VIREID_SYSU_SPLITS", "../shared/sysu_mm01")
        self.env = {key: v for key, v in os.environ.items() if not key.startswith("VIREID_")}
        self.env |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        self.env["PYTHONPATH"] = str(self.repo)  # before an editable install
        where = [sys.executable, "-c", "import vireid; print(vireid.__file__)"]
        found = subprocess.check_output(where, cwd=work, env=self.env, text=True).strip()
        if not Path(found).is_relative_to(self.repo):
            raise SystemExit(f"{found} would be measured instead of {self.repo}")

    def call(self, command: str) -> subprocess.CompletedProcess[str]:
        """What a tool ended with and printed."""
        tool, *words = command.split()
        words = [str(self.splits / "rand_perm_cam.mat") if w == "MAT" else w for w in words]
        line = [sys.executable, str(self.repo / f"tools/{tool}.py"), *words]
        return subprocess.run(line, cwd=self.work, env=self.env, capture_output=True, text=True)

    def result(self, command: str) -> dict[str, Any]:
        """Exit code, what was printed where it is stable, and what was written."""
        done, words = self.call(command), command.split()
        found: dict[str, Any] = {"exit": done.returncode, "traceback": "Traceback" in done.stderr}
        found["printed"] = done.stdout.splitlines() if words[0] in PRINTED else None
        target = next((words[i + 1] for i, word in enumerate(words) if word in TARGETS), "")
        if target and not done.returncode and words[0] not in ("export", "report"):  # times
            found["written"] = kept(self.work / target)
            if words[0] == "train":
                found["features"] = self.result(f"extract --run {target} --out {target}.npz")
        text = json.dumps(found).replace(str(self.work), "WORK").replace(str(self.repo), "REPO")
        return json.loads(text)


def digest(parts: dict[str, Any]) -> str:
    """sha256 of arrays in the order of their names."""
    total = hashlib.sha256()
    for name, array in sorted((name, np.asarray(part)) for name, part in parts.items()):
        total.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return total.hexdigest()


def kept(path: Path) -> Any:
    """What is compared of a file or a folder that a tool wrote."""
    if (path / "metrics.csv").exists():
        import torch

        weights = torch.load(path / "checkpoints/last.pth", weights_only=True)["model"]
        rows = csv.DictReader(kept(path / "metrics.csv"))
        found = {"metrics": [{k: v for k, v in row.items() if k not in TIMES} for row in rows]}
        files = {name: kept(path / name) for name in ("results.json", "config.yaml")}
        return found | files | {"weights": digest(weights)}
    if path.is_dir():
        files = path.glob("*.*") if (path / "sweep.csv").exists() else path.rglob("*.*")
        return {str(one.relative_to(path)): kept(one) for one in sorted(files) if one.is_file()}
    if path.suffix == ".npz":
        with np.load(path) as file:
            return digest({name: file[name] for name in file.files if name != "source"})
    if path.suffix in (".json", ".csv", ".md", ".tex", ".yaml", ".txt"):
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else text.splitlines()
    begin = 128 if path.suffix == ".mat" else 0  # these bytes tell when it was written
    return hashlib.sha256(path.read_bytes()[begin:]).hexdigest()


def sysu_images(splits: Path, identities: int) -> list[tuple]:
    """As many images of the first test identities as the official permutations are of."""
    from scipy.io import loadmat

    cells, images = loadmat(splits / "rand_perm_cam.mat")["rand_perm_cam"], []
    for pid in sorted(loadmat(splits / "test_id.mat")["id"].ravel().tolist())[:identities]:
        for camera in range(1, 7):
            drawn = cells[camera - 1][0].squeeze()
            number = drawn[pid - 1].shape[1] if pid <= len(drawn) and len(drawn[pid - 1]) else 0
            names = (f"cam{camera}/{pid:04d}/{k:04d}.jpg" for k in range(1, number + 1))
            images += [(name, pid, camera, np.uint8(camera in (3, 6))) for name in names]
    return images


def save_features(path: Path, images: list[tuple], dim: int, more: str = "") -> None:
    """Small whole numbers for features, so that many are equal and many distances tie."""
    rng, names = np.random.default_rng(len(images)), ("paths", "pids", "camids", "modality", more)
    columns = zip(names, zip(*images, strict=True), strict=bool(more))
    arrays = {name: np.array(column) for name, column in columns}
    signal = rng.integers(-2, 3, (arrays["pids"].max() + 1, dim))[arrays["pids"]]
    features = np.hstack([signal + rng.integers(-2, 3, signal.shape), np.ones((len(signal), 1))])
    np.savez(path, features=features.astype(np.float32), **arrays)


def prepare(bench: Bench) -> None:
    """What commands read: features of each layout, a sweep, images of noise with a list."""
    shots = [(p, c, k) for p in range(2, 22) for c in range(1, 10) for k in range((p + c) % 3 + 1)]
    seen, unseen = np.uint8(0), np.uint8(1)  # visible, infrared
    cars = [(f"vis/{p}/{c}_{k}.jpg", p, c, seen) for p, c, k in shots]
    faces = cars + [(f"nir/{p}/{c}_{k}.jpg", p, c, unseen) for p, c, k in shots if c != 3]
    thermal = [(path, p, int(m) + 1, m) for path, p, _, m in faces]
    roles = [(f"{role}/{path}", *rest, np.uint8(role)) for role in (1, 2) for path, *rest in cars]
    lists = [(*car, 800 * (1 + car[1] % 3)) for car in cars]
    save_features(bench.work / "sysu.npz", sysu_images(bench.splits, 10), 4)
    save_features(bench.work / "regdb.npz", thermal, 4)
    save_features(bench.work / "llcm.npz", faces, 4)
    save_features(bench.work / "veri.npz", roles, 4, "role")
    save_features(bench.work / "vehicleid.npz", lists, 4, "subset")
    sweep = f"BASE: {bench.repo}/configs/demo.yaml\nGRID: {{MODEL.SHARED_DEPTH: [3, 5]}}\n"
    (bench.work / "sweep.yaml").write_text(sweep + "SEEDS: [0, 1]\n")
    root, table = bench.work / "data/csv", ["path,pid,camid,modality,split"]
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for pid, shot in np.ndindex(16, 6):
        kind, split = ("visible", "infrared")[shot % 2], ("train", "train", "val", "test")[pid % 4]
        table.append(f"{pid}_{shot}.ppm,{pid},{shot + 1},{kind},{split}")
        (root / f"{pid}_{shot}.ppm").write_bytes(b"P6 40 80 255\n" + rng.bytes(80 * 40 * 3))
    (root / "dataset.csv").write_text("\n".join(table))


def measure(bench: Bench, names: list[str]) -> dict[str, Any]:
    """Result → what its command gives."""
    prepare(bench)
    found: dict[str, Any] = {}
    for name in dict.fromkeys(["rendered", "demo", *names]):
        begin = time.monotonic()
        new = {f"{name}: {key}": bench.result(line) for key, line in SCENARIOS[name].items()}
        codes = [one["exit"] for one in new.values()]
        print(f"{name}: {time.monotonic() - begin:.0f} s, exit codes {codes}", file=sys.stderr)
        found |= new
    if "resumed: run" in found:
        straight, again = (found[f"{name}: run"].get("written", {}) for name in ("demo", "resumed"))
        same = {key: again.get(key) == straight.get(key) for key in ("metrics", "weights")}
        found["resumed: equal to the straight run"] = same
    return found


def compare(before: dict[str, Any], now: dict[str, Any]) -> int:
    """Prints a line per result, with the first value that differs; returns how many differ."""
    differing = 0
    for name, result in now.items():
        old, new = (json.dumps(one, indent=1).splitlines() for one in (before.get(name), result))
        moved = [pair for pair in zip_longest(old, new) if pair[0] != pair[1]]
        differing += bool(moved)
        print(f"{'differs' if moved else 'equal  '}  {name}", end="")
        print(f": {moved[0][0]} before, {moved[0][1]} now" if moved else "")
    print(f"{differing} of {len(now)} results differ")
    return differing


def speed(benches: list[Bench]) -> None:
    """Whole processes of two checkouts, A, B, A, B, …; ratios are of the same round."""
    for bench in benches:
        save_features(bench.work / "big.npz", sysu_images(bench.splits, 96), 256)
        bench.call(f"{TRAIN} runs/first")  # renders its set
    scoring = "evaluate --features big.npz --protocols sysu --permutations MAT"
    for kind, command in (("scoring", scoring), ("training", f"{TRAIN} runs/first --overwrite")):
        rounds = np.empty((5, 2))
        for index in np.ndindex(rounds.shape):
            begin = time.perf_counter()
            if benches[index[1]].call(command).returncode:
                raise SystemExit(f"failed: {command}")
            rounds[index] = time.perf_counter() - begin
        ratios, (a, b) = np.sort(rounds[:, 1] / rounds[:, 0]), np.median(rounds, axis=0)
        print(f"{kind}: A {a:.2f} s, B {b:.2f} s; B/A {np.median(ratios):.3f} of {ratios.round(3)}")


def main() -> None:
    """See ``--help``."""
    line = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    line.add_argument("action", choices=("record", "check", "speed"))
    line.add_argument("file", type=Path, nargs="?", help="JSON; of record and check")
    line.add_argument("--repo", type=Path, default=Path(__file__).parents[1], help="this checkout")
    line.add_argument("--versus", type=Path, help="with speed: the other checkout")
    line.add_argument("--work", type=Path, help="where there is room for what is made")
    line.add_argument("--only", nargs="+", choices=SCENARIOS.sections(), metavar="NAME")
    args = line.parse_args()
    if (args.versus if args.action == "speed" else args.file) is None:
        line.error("speed needs --versus, record and check need a file")
    with tempfile.TemporaryDirectory(prefix="golden_", dir=args.work) as work:
        if args.action == "speed":
            pair = (args.repo, args.versus)
            return speed([Bench(repo, Path(tempfile.mkdtemp(dir=work))) for repo in pair])
        found = measure(Bench(args.repo, Path(work)), args.only or SCENARIOS.sections())
    if args.action == "check":
        sys.exit(compare(json.loads(args.file.read_text("utf-8")), found) > 0)
    args.file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
