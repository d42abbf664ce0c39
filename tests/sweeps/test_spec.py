"""Sweep files: the cells they describe, and their mistakes."""

from pathlib import Path

import pytest
import yaml

from tests.helpers import problems_of, write_text
from vireid.errors import ConfigError, UsageError
from vireid.sweeps.spec import read_sweep

HEAD = "BASE: configs/sysu.yaml\n"
PAIRED = """
GRID:
  LOSS.TRIPLET.WEIGHT,LOSS.WEIGHTED_TRIPLET.WEIGHT:
    {}
  INPUT.SIZE: [[288, 144], [96, 48]]
"""


def sweep_of(tmp_path, text: str):
    return read_sweep(write_text(tmp_path / "tried.yaml", HEAD + text))


def problems(tmp_path, text: str, head: str = HEAD) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read_sweep(write_text(tmp_path / "tried.yaml", head + text))
    return problems_of(error)


def test_a_grid_is_the_product_of_its_entries_the_last_changing_fastest(tmp_path):
    sweep = sweep_of(tmp_path, "GRID: {MODEL.SHARED_DEPTH: [5, 0], LOSS.TRIPLET.MARGIN: [0.3, 1]}")
    assert [cell.name for cell in sweep.cells] == [
        "MODEL.SHARED_DEPTH=5,LOSS.TRIPLET.MARGIN=0.3",
        "MODEL.SHARED_DEPTH=5,LOSS.TRIPLET.MARGIN=1.0",
        "MODEL.SHARED_DEPTH=0,LOSS.TRIPLET.MARGIN=0.3",
        "MODEL.SHARED_DEPTH=0,LOSS.TRIPLET.MARGIN=1.0",
    ]
    assert sweep.cells[1].options == {"MODEL.SHARED_DEPTH": "5", "LOSS.TRIPLET.MARGIN": "1.0"}
    assert sweep.baseline is sweep.cells[0]
    assert (sweep.seeds, sweep.trials, sweep.fixed) == ((0,), (), {})
    assert sweep.output == Path("runs/sweeps/tried")


def test_paired_options_vary_together(tmp_path):
    sweep = sweep_of(tmp_path, PAIRED.format("[[0, 0], [1, 0], [1, 0.5]]"))
    assert len(sweep.cells) == 3 * 2
    assert sweep.cells[5].labels == ("1.0, 0.5", "[96, 48]")
    assert sweep.cells[5].options == {
        "LOSS.TRIPLET.WEIGHT": "1.0",
        "LOSS.WEIGHTED_TRIPLET.WEIGHT": "0.5",
        "INPUT.SIZE": "[96, 48]",
    }
    assert sweep.cells[5].name == (
        "LOSS.TRIPLET.WEIGHT=1.0,LOSS.WEIGHTED_TRIPLET.WEIGHT=0.5,INPUT.SIZE=96,48"
    )
    assert sweep.axes[0].title == "LOSS.TRIPLET.WEIGHT, LOSS.WEIGHTED_TRIPLET.WEIGHT"


def test_labels_name_values_and_folders(tmp_path):
    text = PAIRED.format('{baseline: [0, 0], "+ SDM": [1, 0], "a/b, 50 %": [0, 1]}')
    sweep = sweep_of(tmp_path, text + "  MODEL.SHARED_DEPTH: {one stream: 5}\n")
    labels = [cell.labels for cell in sweep.cells]
    assert labels[2] == ("+ SDM", "[288, 144]", "one stream")
    names = [cell.name for cell in sweep.cells[2:6:2]]
    assert names == [f"{name},INPUT.SIZE=288,144,one_stream" for name in ("+_SDM", "a_b,50")]
    assert sweep.cells[2].options["LOSS.TRIPLET.WEIGHT"] == "1.0"
    assert sweep.describe(sweep.cells[2]) == "+ SDM, INPUT.SIZE [288, 144], one stream"


@pytest.mark.parametrize(
    "given",
    [
        '{"LOSS.TRIPLET.WEIGHT,LOSS.WEIGHTED_TRIPLET.WEIGHT": b, INPUT.SIZE: [96, 48]}',
        '{"LOSS.TRIPLET.WEIGHT, LOSS.WEIGHTED_TRIPLET.WEIGHT": [0, 1], INPUT.SIZE: [96,48]}',
    ],
)
def test_a_baseline_is_named_by_label_or_value(tmp_path, given):
    sweep = sweep_of(tmp_path, PAIRED.format("{a: [1, 0], b: [0, 1]}") + f"BASELINE: {given}\n")
    assert sweep.baseline is sweep.cells[3]


def test_a_baseline_of_one_entry_is_its_value(tmp_path):
    grid = "GRID: {LOSS.TRIPLET.MARGIN: [0.3, 1]}\n"
    assert sweep_of(tmp_path, grid + "BASELINE: 1").baseline.name == "LOSS.TRIPLET.MARGIN=1.0"
    (line,) = problems(tmp_path, grid + "BASELINE: 2")
    assert "LOSS.TRIPLET.MARGIN 2 is unknown; choose one of 0.3 | 1.0" in line
    (line,) = problems(tmp_path, grid + "BASELINE: {MODEL.POOL: gem}")
    assert "must name a value of LOSS.TRIPLET.MARGIN" in line


def test_fixed_options_take_both_spellings_and_every_type(tmp_path):
    text = "SET: {SOLVER: {EPOCHS: 3}, SOLVER.BASE_LR: 1, TEST.PROTOCOLS: [a], COMPILE: yes}\n"
    sweep = sweep_of(tmp_path, text + "GRID: {MODEL.POOL: [gem]}")
    assert sweep.fixed == {
        "SOLVER.EPOCHS": "3",
        "SOLVER.BASE_LR": "1.0",
        "TEST.PROTOCOLS": "[a]",
        "COMPILE": "true",
    }


def test_the_base_is_found_beside_the_file_or_in_the_working_directory(tmp_path):
    grid = "GRID: {MODEL.POOL: [gem]}"
    write_text(tmp_path / "base.yaml", "")
    path = write_text(tmp_path / "sweeps/one.yaml", f"BASE: ../base.yaml\n{grid}")
    assert read_sweep(path).base.samefile(tmp_path / "base.yaml")
    assert sweep_of(tmp_path, grid).base == Path("configs/sysu.yaml")
    (line,) = problems(tmp_path, grid, head="BASE: gone.yaml\n")
    assert f"neither {tmp_path / 'gone.yaml'} nor gone.yaml" in line


def test_all_mistakes_of_a_file_come_at_once(tmp_path):
    lines = problems(
        tmp_path,
        """
GIRD: {}
SEEDS: [0, 0]
TRIALS: 3
OUTPUT: []
SET: {SOLVER.EPOCH: 3, SEED: 1, MODEL.POOL: gem, INPUT.FLIP: x}
GRID:
  MODEL.POOL: [gem]
  MODEL.SHARED_DEPTH: []
  OUTPUT_DIR: [a]
  LOSS.TRIPLET.WEIGHT, LOSS.TRIPLET.MARGIN: [[1, 2], [1]]
  LOSS.HETERO_CENTER.WEIGHT: [0, many]
""",
        head="",
    )
    for phrase in (
        "unknown section GIRD; did you mean GRID?",
        "BASE must name a config file, got None",
        "SEEDS must list whole numbers",
        "TRIALS must list whole numbers",
        "OUTPUT must be a folder's name, got []",
        "SET: unknown key SOLVER.EPOCH; did you mean SOLVER.EPOCHS?",
        "SET: SEED is set by SEEDS",
        "SET: INPUT.FLIP must be a number, got 'x'",
        "GRID: MODEL.POOL is given twice; SET and GRID name an option once",
        "GRID: MODEL.SHARED_DEPTH needs a list of values",
        "GRID: OUTPUT_DIR is set by OUTPUT",
        "a list of 2 values is wanted, got [1]",
        "GRID: LOSS.HETERO_CENTER.WEIGHT must be a number, got 'many'",
    ):
        assert any(line.startswith(phrase) or phrase in line for line in lines), phrase
    assert len(lines) == 13


@pytest.mark.parametrize("grid", ["", "GRID:", "GRID: {}", "GRID: []"])
def test_an_empty_grid_is_refused(tmp_path, grid):
    (line,) = problems(tmp_path, grid)
    assert line.startswith("GRID is empty: name an option and its values")


@pytest.mark.parametrize(
    ("grid", "phrase"),
    [
        ("{MODEL.POOL: [gem, gem]}", "gem is there twice"),
        ("{MODEL.POOL: {a b: gem, a_b: avg}}", "a_b and a b would share the folder a_b"),
        ("{MODEL.POOL: {A: gem, a: avg}}", "would share the folder"),
        ("{MODEL.POOL: {seed1: gem}}", "makes no folder's name"),
        ('{MODEL.POOL: {"a\\nb": gem}}', "'a\\nb' has characters that no table can print"),
        ('{MODEL.POOL: {"..": gem}}', "makes no folder's name"),
        (f"{{MODEL.POOL: {{{'x' * 151}: gem}}}}", "too long for a folder's name"),
        ("{MODEL: [gem]}", "MODEL is a group, not an option"),
    ],
)
def test_cells_that_cannot_have_a_folder_are_refused(tmp_path, grid, phrase):
    (line,) = problems(tmp_path, f"GRID: {grid}")
    assert phrase in line


@pytest.mark.parametrize("label", ["true", "1.5", "1"])
def test_a_label_that_is_no_text_is_to_be_quoted(tmp_path, label):
    with pytest.raises(UsageError, match="is not text: quote it"):
        sweep_of(tmp_path, f"GRID: {{MODEL.SDM.ENABLED: {{{label}: true}}}}")


def test_a_key_given_twice_is_refused(tmp_path):
    with pytest.raises(UsageError, match="'GRID' is given twice"):
        sweep_of(tmp_path, "GRID: {MODEL.POOL: [gem]}\nGRID: {MODEL.POOL: [avg]}")
    text = "SET: {SOLVER: {EPOCHS: 3}, SOLVER.EPOCHS: 4}\nGRID: {MODEL.POOL: [gem]}"
    (line,) = problems(tmp_path, text)
    assert line == "SET: SOLVER.EPOCHS is given twice"


def test_options_that_sbatch_must_not_get_are_listed_with_the_rest(tmp_path):
    text = "GRID: {MODEL.SHARED_DEPHT: [5]}\nSLURM: {time: 4:00:00, array: 1-3, mem: 8G}"
    found = problems(tmp_path, text)
    assert len(found) == 2 and "MODEL.SHARED_DEPTH" in found[0]
    assert found[1] == "SLURM: array is set by the executor"
    grid = "GRID: {MODEL.SHARED_DEPTH: [5]}\n"
    (found,) = problems(tmp_path, grid + "SLURM: [gpu]")
    assert found == "SLURM must hold options of sbatch, got ['gpu']"
    options = "SLURM: {cpus_per_task: 8, exclusive: true, time: 4:00:00}"
    slurm = {"cpus-per-task": "8", "exclusive": "", "time": "4:00:00"}
    assert sweep_of(tmp_path, grid + options).slurm == slurm
    (found,) = problems(tmp_path, grid + "SLURM: {time: 240}")
    assert found == "SLURM: time must be quoted text such as '4:00:00', got 240"


def test_numbers_of_a_sweep_are_read_in_base_ten(tmp_path):
    """YAML 1.1 has 8 for 010, 90 for 1:30, and true for on."""
    grid = "GRID: {SOLVER.EPOCHS: [010, 08], TEST.FLIP: {on: true, off: no}}\n"
    sweep = sweep_of(tmp_path, grid + "SEEDS: [007, 010]\nSET: {SOLVER.BASE_LR: 00.5}")
    assert sweep.seeds == (7, 10)
    assert sweep.fixed == {"SOLVER.BASE_LR": "0.5"}
    assert [cell.options["SOLVER.EPOCHS"] for cell in sweep.cells] == ["10", "10", "8", "8"]
    assert [cell.labels[1] for cell in sweep.cells] == ["on", "off"] * 2
    for text in ("SEEDS: [0x10]", "SEEDS: [1:30]", "SEEDS: [1_0]", "SEEDS: [on]"):
        (line,) = problems(tmp_path, f"GRID: {{SOLVER.EPOCHS: [1]}}\n{text}")
        assert line.startswith("SEEDS must list whole numbers such as [1, 2, 3], each once, got")
    (line,) = problems(tmp_path, "GRID: {SOLVER.EPOCHS: [1, 1:30]}")
    assert line.startswith("GRID: SOLVER.EPOCHS must be a whole number in base ten")


def test_more_cells_than_anybody_means_are_refused(tmp_path):
    values = list(range(1, 50))
    grid = {"SOLVER.EPOCHS": values, "SAMPLER.IMAGES": values, "TEST.BATCH": values}
    (line,) = problems(tmp_path, yaml.safe_dump({"GRID": grid}))
    assert line == "GRID has 117,649 combinations, 10,000 are allowed"


def test_labels_of_pictures_name_what_the_grid_or_a_protocol_has(tmp_path):
    grid = "GRID: {MODEL.SHARED_DEPTH: [0, 5], MODEL.POOL: {max pool: gem}}\n"
    labels = "{MODEL.SHARED_DEPTH: stages, '5': all, MODEL.SHARED_DEPTH=0: 0, max pool: m, veri: V}"
    sweep = sweep_of(tmp_path, f"{grid}LABELS: {labels}\n")
    assert list(sweep.texts) == [
        "MODEL.SHARED_DEPTH",
        "5",
        "MODEL.SHARED_DEPTH=0",
        "max pool",
        "veri",
    ]
    assert sweep.texts["MODEL.SHARED_DEPTH=0"] == "0"
    wrong = "LABELS: {MODEL.SHARED_DEPHT: a, max pol: b, veri: [1], '0': ''}\n"
    assert problems(tmp_path, grid + wrong) == [
        "LABELS: MODEL.SHARED_DEPHT is unknown; did you mean MODEL.SHARED_DEPTH? Name an option, "
        "a label or a value of GRID, or a protocol",
        "LABELS: max pol is unknown; did you mean max pool? Name an option, a label or a value of "
        "GRID, or a protocol",
        "LABELS: veri needs a line of text, got [1]",
        "LABELS: 0 needs a line of text, got ''",
    ]
    assert problems(tmp_path, f"{grid}LABELS: [a]\n") == [
        "LABELS must hold NAME: TEXT pairs, got ['a']"
    ]
    for texts in ("'0': few, '5': few", "'5': '0'"):
        (line,) = problems(tmp_path, f"{grid}LABELS: {{{texts}}}\n")
        assert "LABELS: two values of MODEL.SHARED_DEPTH would both be called" in line
