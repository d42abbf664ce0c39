"""Results that config files expect: reading them, choosing among them, training them again."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import expected
from vireid.config import dump_config, load_config
from vireid.config.expected import ExpectedScore, read_expected
from vireid.config.load import SHIPPED
from vireid.errors import UsageError
from vireid.evaluation.results import COLUMNS
from vireid.sweeps.planner import train_command
from vireid.sweeps.spec import read_sweep

FAKE = Path(__file__).parents[1] / "cli/fake_train.py"
T9 = 2.262157  # t of 95 %, two-sided, with 9 degrees of freedom: any table of t
ENTRY = {
    "NAME": "tiny",
    "OPTIONS": {"PRECISION": "fp32", "THREADS": 1, "MODEL.SHARED_DEPTH": 3},
    "SEEDS": [1, 2],
    "NEEDS": ["rendered"],
    "COMMIT": "abc1234",
    "MINUTES": 2,
    # the fake's rank-1 is 10 points a stage and 2 a seed: 32 and 34
    "SCORES": {"sysu_all_single": {"rank1": {"mean": 33, "sd": 1.414, "tolerance": 17.97}}},
}


def score(**parts) -> dict:
    return {"SCORES": {"sysu_all_single": {"rank1": parts}}}


@pytest.fixture
def write(tmp_path):
    """Writes a config file with entries, and returns its path."""

    def written(*entries: dict, name: str = "tiny.yaml", **sections) -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump({"EXPECTED": list(entries), **sections}, sort_keys=False))
        return path

    return written


@pytest.fixture
def check(monkeypatch, tmp_path, capsys):
    """Calls the benchmark with runs that only pretend to train; returns code, output, errors."""

    def command(base, run, state):
        return [sys.executable, str(FAKE), *train_command(base, run, state)[4:]]

    monkeypatch.setattr(expected, "train_command", command)
    monkeypatch.setattr(expected, "prepare_all", lambda runs: None)

    def called(*words) -> tuple[int, str, str]:
        code = expected.main([*map(str, words), "--out", str(tmp_path / "out")])
        return (code, *capsys.readouterr())

    return called


def cells(printed: str) -> list[list[str]]:
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[2:]]


def test_the_key_is_no_option_and_is_not_inherited(write, tmp_path):
    base = write(ENTRY, SEED=5)
    child = tmp_path / "child.yaml"
    child.write_text("_BASE_: tiny.yaml\n")
    cfg = load_config(child, environment={})
    assert cfg.SEED == 5 and cfg == load_config(None, ["SEED", "5"], environment={})
    assert read_expected(child) == () and len(read_expected(base)) == 1


def test_an_entry_is_read(write):
    (found,) = read_expected(write(ENTRY))
    assert found.options == {"PRECISION": "fp32", "THREADS": "1", "MODEL.SHARED_DEPTH": "3"}
    assert (found.seeds, found.needs, found.cell) == ((1, 2), ("rendered",), "")
    assert found.scores["sysu_all_single", "rank1"].sd == 1.414


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"SEEDS": []}, "SEEDS must be a list of different whole numbers, got []"),
        ({"SEEDS": [1, 1]}, "SEEDS must be"),
        ({"SEEDS": [True]}, "SEEDS must be"),
        ({"NEEDS": ["data"]}, "NEEDS must be a list of rendered, roadscene, weights"),
        ({"NEEDS": ["weights"]}, "NEEDS must name one of rendered and roadscene"),
        ({"NAME": "a/b"}, "a folder's name, got 'a/b'"),
        ({"COMMIT": 1234567}, "COMMIT must be text (in quotes"),
        ({"OPTIONS": {"SOLVR.EPOCHS": 3}}, "did you mean SOLVER.EPOCHS?"),
        ({"OPTIONS": {"SOLVER.EPOCHS": "x"}}, "SOLVER.EPOCHS must be a whole number, got 'x'"),
        ({"OPTIONS": {"SEED": 3}}, "SEED is set by SEEDS"),
        ({"CELL": "a"}, "unknown key CELL"),
        ({"MINUTES": math.nan}, "MINUTES must be a number"),
        ({"SCORES": {}}, "SCORES must hold metrics by protocol"),
        ({"SCORES": {"val": {}}}, "SCORES must hold metrics by protocol"),
        (score(mean=3), "rank1 must hold mean, sd and tolerance"),
        (score(mean=101, tolerance=1), "rank1 mean must be a number from 0 to 100, got 101"),
    ],
)
def test_a_malformed_entry_is_one_line_with_the_file(write, change, phrase):
    path = write({**ENTRY, **change})
    for read in (lambda: load_config(path, environment={}), lambda: read_expected(path)):
        with pytest.raises(UsageError) as error:
            read()
        assert str(error.value).startswith(f"{path}: EXPECTED ") and phrase in str(error.value)
        assert "\n" not in str(error.value)


def test_a_sweep_file_expects_results_of_its_cells(write, check):
    sweep = {
        "BASE": str(Path("configs/demo.yaml").resolve()),
        "GRID": {"MODEL.SHARED_DEPTH": [1, 3]},
    }
    path = write(ENTRY, **sweep)
    with pytest.raises(UsageError, match="EXPECTED tiny: CELL is missing"):
        read_sweep(path)
    options = {"PRECISION": "fp32", "THREADS": 1}
    path = write({**ENTRY, "CELL": "3", "OPTIONS": options}, **sweep)
    assert len(read_sweep(path).cells) == 2
    code, out, _ = check("--cfg", path)
    assert code == 0 and cells(out)[0][3:] == ["33.00", "33.00", "+0.00", "17.97", "ok"]
    path = write({**ENTRY, "CELL": "4", "OPTIONS": options}, **sweep)
    code, _, err = check("--cfg", path)
    assert code == 2 and "there is no cell '4'; there are 1, 3" in err


def test_equal_scores_pass_and_others_are_named(write, check, tmp_path):
    right = write(ENTRY)
    code, out, err = check("--cfg", right)
    assert code == 0 and "tiny/seed2 finished after" in out, err
    row = ["tiny", "1, 2", "sysu_all_single rank1", "33.00", "33.00", "+0.00", "17.97", "ok"]
    assert cells(out) == [row]
    assert cells((tmp_path / "out/expected.md").read_text()) == [row]
    wrong = write({**ENTRY, **score(mean=34.5, tolerance=1.4)})
    code, out, err = check("--cfg", wrong)
    assert code == 1 and cells(out)[0][4:] == ["33.00", "-1.50", "1.40", "NOT"]
    assert err.endswith("error: outside the tolerance: tiny sysu_all_single rank1\n")


def test_a_check_goes_on_where_it_stopped(write, check, tmp_path):
    path = write(ENTRY)
    assert check("--cfg", path)[0] == 0
    begun = tmp_path / "out/tiny/seed2"
    (begun / "results.json").unlink()
    (begun / "checkpoints/last.pth").touch()
    code, out, _ = check("--cfg", path)
    assert code == 0 and "1 finished, 1 to continue" in out
    assert (begun / "calls.txt").read_text().splitlines() == ["", "--resume"]
    assert (tmp_path / "out/tiny/seed1/calls.txt").read_text().splitlines() == [""]


def test_failed_runs_leave_their_entry_unfinished(write, check):
    options = {**ENTRY["OPTIONS"], "LOSS.TRIPLET.MARGIN": 0.9}
    code, out, err = check("--cfg", write({**ENTRY, "OPTIONS": options}))
    assert code == 1 and cells(out)[0][4:] == ["–", "–", "17.97", "not finished"]
    assert "2 runs failed" in err and "the loss is not finite" in err


def test_other_seeds_have_the_tolerance_of_their_number(write, check):
    code, out, _ = check("--cfg", write(ENTRY), "--seeds", "7")
    wide = 12.7062 * 1.414 * math.sqrt(1 / 2 + 1)  # t with 1 degree of freedom
    assert code == 0
    assert cells(out)[0] == ["tiny", "7", "sysu_all_single rank1", "33.00", "44.00", "+11.00",
                             f"{wide:.2f}", "ok"]  # fmt: skip


def test_a_tolerance_follows_from_the_deviation(write, check):
    code, _, err = check("--cfg", write({**ENTRY, **score(mean=33, sd=1.414, tolerance=5)}))
    assert code == 2 and "an sd of 1.414 over 2 seeds gives the tolerance 17.97, got 5" in err
    assert expected.mean_tolerance(2.0, 10, 10) == pytest.approx(T9 * 2 * math.sqrt(0.2), abs=1e-5)


def test_nineteen_of_twenty_means_are_within_the_tolerance():
    draw = np.random.default_rng(1)
    before, now = draw.normal(50, 3, (4000, 5)), draw.normal(50, 3, (4000, 8))
    tolerances = expected.mean_tolerance(1.0, 5, 8) * before.std(1, ddof=1)
    inside = np.abs(now.mean(1) - before.mean(1)) <= tolerances
    assert inside.mean() == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("change", "phrase"),
    [({"PRECISION": "auto"}, "PRECISION auto"), ({"THREADS": 0}, "THREADS 0")],
)
def test_what_depends_on_the_machine_is_refused(write, check, change, phrase):
    code, _, err = check("--cfg", write({**ENTRY, "OPTIONS": {**ENTRY["OPTIONS"], **change}}))
    assert code == 2 and phrase in err and err.count("\n") == 1


def named(*names: str, needs=("rendered",)) -> list[dict]:
    return [{**ENTRY, "NAME": name, "NEEDS": list(needs)} for name in names]


def test_the_choice_is_random_and_reproducible(write):
    results = read_expected(write(*named(*"abcdefghi")))
    given = {"rendered": Path(), "roadscene": None, "weights": None}

    def choice(share, seed):
        chosen, skipped = expected.choose(results, given, share=share, seed=seed)
        assert not skipped
        return "".join(one.name for one in chosen)

    assert choice(1, 3) == "abcdefghi"
    assert len(choice(0.34, 7)) == 4  # 3.06 entries are not enough
    assert choice(0.34, 7) == choice(0.34, 7)
    assert len({choice(0.34, seed) for seed in range(10)}) > 5
    assert set(choice(0.34, 7)) < set(choice(0.6, 7))


def test_entries_that_lack_something_are_named(write, check, tmp_path):
    needs = {"a": ["rendered"], "b": ["roadscene"], "c": ["roadscene", "weights"]}
    path = write(*(named(name, needs=what)[0] for name, what in needs.items()))
    code, out, _ = check("--cfg", path)
    assert code == 0 and [row[0] for row in cells(out)] == ["a"]
    skipped = ["skipped: b needs --roadscene", "skipped: c needs --roadscene and --weights"]
    assert all(line in out for line in skipped)
    assert (tmp_path / "out/expected.md").read_text().split("\n\n")[1:] == [
        skipped[0],
        skipped[1] + "\n",
    ]
    code, out, err = check("--cfg", path, "--only", "b")
    assert code == 2 and "nothing to check: b needs --roadscene" in err
    code, out, _ = check("--cfg", path, "--only", "b", "--roadscene", tmp_path)
    saved = yaml.safe_load((tmp_path / "out/b/seed1/config.yaml").read_text())
    assert code == 0 and saved["DATA"]["ROOT"] == str(tmp_path)
    code, _, err = check("--cfg", path, "--weights", tmp_path / "none.pth")
    assert code == 2 and "none.pth does not exist" in err


def test_names_are_unique_and_known(write, check, tmp_path):
    write(ENTRY)
    write(ENTRY, name="other.yaml")
    code, _, err = check("--cfg", tmp_path)
    assert code == 2 and "both have EXPECTED tiny" in err
    code, _, err = check("--only", "nothing")
    assert code == 2 and "--only nothing: unknown; there are demo" in err


def test_the_shipped_entries_can_be_planned(check):
    code, out, _ = check("--list")
    assert code == 0 and "| configs/demo.yaml " in out and " minutes on one core" in out
    args = expected._parse(["--roadscene", "/data", "--weights", "/weights.pth"])
    results = expected.find_results([Path(SHIPPED)], [])
    checks = [expected.plan(one, args) for one in results]
    assert len(checks) >= 1
    for one in checks:
        assert all(run.cfg.PRECISION == "fp32" for run in one.runs)
        assert [run.seed for run in one.runs] == list(one.result.seeds)


def write_run(folder: Path, rank1: float, *, margin: str = "0.3", seed: int = 0) -> None:
    """The files of a finished run on rendered people, as far as an entry needs them."""
    options = ["SEED", str(seed), "PRECISION", "fp32", "THREADS", "1", "DATA.WORKERS", "2"]
    options += ["LOSS.TRIPLET.MARGIN", margin, "OUTPUT_DIR", str(folder)]
    cfg = load_config(Path("configs/demo.yaml"), options, environment={})
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(dump_config(cfg))
    (folder / "metrics.csv").write_text("epoch,seconds\n1,50\n2,40\n")
    (folder / "environment.json").write_text('{"git": {"commit": "0123456789"}}')
    mean = dict.fromkeys(COLUMNS, 0.5) | {"rank1": rank1}
    rules = dict.fromkeys(("gallery_draw", "metric", "cmc_unit", "reranked"), "any")
    rules |= dict.fromkeys(("num_query", "num_valid_query", "num_gallery"), 1)
    entry = {**rules, "mean": mean, "trials": [mean], "cmc": [0.5]}
    content = {"format": 1, "protocols": {"sysu_all_single": entry}, "source": {}}
    (folder / "results.json").write_text(json.dumps(content))


def test_an_entry_is_printed_from_finished_runs(tmp_path, check):
    for seed, rank1 in ((10, 0.4), (2, 0.5), (0, 0.45)):
        write_run(tmp_path / f"demo/seed{seed}", rank1, margin="0.4", seed=seed)
    words = ("--print", "mine", "--cfg", "configs/demo.yaml", "--runs")
    code, out, _ = check(*words, tmp_path / "demo")
    assert code == 0
    (tmp_path / "mine.yaml").write_text(out)
    (found,) = read_expected(tmp_path / "mine.yaml")
    assert found.options == {"LOSS.TRIPLET.MARGIN": "0.4", "PRECISION": "fp32", "THREADS": "1"}
    assert (found.name, found.seeds, found.needs) == ("mine", (0, 2, 10), ("rendered",))
    assert (found.commit, found.minutes) == ("0123456", 5)  # 3 × 90 s
    tolerance = round(4.302653 * 5 * math.sqrt(2 / 3), 2)  # t with 2 degrees of freedom
    assert found.scores["sysu_all_single", "rank1"] == ExpectedScore(45, 5, tolerance)
    assert expected.find_results([tmp_path / "mine.yaml"], []) == [found]
    write_run(tmp_path / "demo/seed3", 0.5, seed=3)
    code, _, err = check(*words, tmp_path / "demo")
    assert code == 2 and "was trained with another LOSS.TRIPLET.MARGIN than" in err


@pytest.mark.parametrize("share", ["0", "1.1", "some", "nan"])
def test_a_share_is_a_number_up_to_one(share, check, capsys):
    with pytest.raises(SystemExit):
        check("--share", share)
    assert "must be a number above 0, at most 1" in capsys.readouterr().err
