import os
from pathlib import Path

import pytest
import torch
from yacs.config import CfgNode

from vireid.config import apply_overrides, dump_config, load_config
from vireid.config.load import flatten
from vireid.losses.build import build_criterion
from vireid.models.build import build_model
from vireid.runs.options import choices
from vireid.sweeps.planner import plan_runs
from vireid.sweeps.spec import read_sweep

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SWEEPS = sorted(CONFIGS.glob("sweeps/**/*.yaml"))
FOUND = sorted(
    path
    for path in CONFIGS.glob("**/*.yaml")
    if not path.name.startswith("_") and path not in SWEEPS
)


def test_every_config_on_disk_is_found():
    names = [name for _, _, files in os.walk(CONFIGS) for name in files]
    assert len(FOUND) + len(SWEEPS) == sum(not name.startswith("_") for name in names)
    assert len(FOUND) >= 10 and len(SWEEPS) >= 1


@pytest.mark.parametrize("path", FOUND, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_config_loads_and_its_network_builds(path):
    cfg = load_config(path, ["MODEL.PRETRAINED", "none"], choices=choices(), environment={})
    classes, size = 7, [64, 32]
    if cfg.MODEL.DIRECTIONAL.ENABLED:
        size = [64, 64]
        cfg = apply_overrides(cfg, ["INPUT.SIZE", str(size)], choices=choices())
    model, start = build_model(cfg, classes)
    assert start.origin.endswith(f"{cfg.MODEL.BACKBONE} starts from random weights")
    model.eval()
    with torch.inference_mode():
        output = model(torch.zeros(2, 3, *size), torch.tensor([False, True]))
    assert output.deep.logits.shape == (2, classes)


def test_agw_trains_by_its_published_recipe():
    cfg = load_config(CONFIGS / "baselines/agw.yaml", choices=choices(), environment={})
    solver = cfg.SOLVER
    assert (solver.OPTIMIZER, solver.BASE_LR, solver.BACKBONE_LR_FACTOR) == ("sgd", 0.1, 0.1)
    assert (solver.EPOCHS, solver.WARMUP_EPOCHS, solver.STEPS) == (81, 10, [20, 50])
    assert (solver.WEIGHT_DECAY, solver.MOMENTUM, solver.GAMMA) == (5e-4, 0.9, 0.1)
    assert set(build_criterion(cfg).weights) == {"identity", "weighted_triplet"}
    assert cfg.LOSS.IDENTITY.LABEL_SMOOTHING == 0
    assert (cfg.SAMPLER.IDENTITIES, cfg.SAMPLER.IMAGES) == (8, 4)
    assert (cfg.INPUT.SIZE, cfg.INPUT.PAD, cfg.INPUT.FLIP) == ([288, 144], 10, 0.5)
    assert cfg.INPUT.ERASE == cfg.INPUT.GRAYSCALE == cfg.INPUT.CHANNEL_EXCHANGE == 0
    assert (cfg.MODEL.BACKBONE, cfg.MODEL.SHARED_DEPTH) == ("resnet50_nonlocal1", 4)
    assert not cfg.MODEL.SDM.ENABLED and not cfg.MODEL.MGIM.ENABLED


def test_agw_as_in_its_paper_differs_in_the_blocks_alone():
    paper, code = (
        load_config(CONFIGS / "baselines" / name, choices=choices(), environment={})
        for name in ("agw_paper.yaml", "agw.yaml")
    )
    paper.defrost()
    assert paper.MODEL.BACKBONE == "resnet50_nonlocal"
    paper.MODEL.BACKBONE = code.MODEL.BACKBONE
    assert paper == code


def vrkd(name: str) -> CfgNode:
    return load_config(CONFIGS / "vrkd" / f"{name}.yaml", choices=choices(), environment={})


@pytest.mark.parametrize("data", ["veri", "vehicleid", "demo"])
def test_teacher_and_student_differ_in_what_makes_them_so(data):
    teacher, student = (vrkd(f"{data}_{role}") for role in ("teacher", "student"))
    different = {key for key, value in flatten(teacher).items() if value != flatten(student)[key]}
    assert different == {"MODEL.DIRECTIONAL.ENABLED", "TEACHER.WEIGHTS"}
    assert student.TEACHER.WEIGHTS == f"runs/{data}_teacher/seed{{SEED}}"
    assert set(build_criterion(teacher).weights) == {"identity", "branch_identity"}
    assert build_criterion(student).weights == {"identity": 1.0, "distill_kl": 1.0}
    assert student.MODEL.POOL == "avg" and student.MODEL.SHARED_DEPTH == 5
    assert student.INPUT.SIZE == ([64, 64] if data == "demo" else [256, 256])


def test_the_control_has_the_teachers_backbones_and_other_averages():
    teacher, control = vrkd("demo_teacher"), vrkd("demo_gap_teacher")
    networks = [build_model(cfg, 5)[0] for cfg in (teacher, control)]
    backbones = [sum(p.numel() for p in n.backbone.parameters()) for n in networks]
    assert backbones == [4 * 97_616] * 2
    control.defrost()
    control.MODEL.DIRECTIONAL.DIRECTIONS = teacher.MODEL.DIRECTIONAL.DIRECTIONS
    assert control == teacher


# cells × seeds of each sweep file
COUNTS = {
    "components": (4, 3),
    "demo_beta": (10, 5),
    "demo_components": (4, 3),
    "demo_corrupt": (2, 3),
    "demo_depth": (6, 3),
    "demo_frames": (3, 3),
    "granularities": (7, 3),
    "input_size": (5, 3),
    "losses": (6, 3),
    "relations": (7, 3),
    "roadscene_agw": (2, 1),
    "roadscene_components": (4, 3),
    "roadscene_depth": (6, 3),
    "roadscene_rivals": (7, 3),
    "roadscene_sampler": (3, 1),
    "shared_depth": (6, 3),
    "taps": (7, 3),
    "temperature_weight": (20, 3),
    "vrkd_bridge": (4, 3),
    "vrkd_directions": (10, 3),
    "vrkd_students": (8, 3),
    "vrkd_teachers": (3, 3),
    "vrkd_temperature": (6, 3),
    "vrkd_weight": (8, 2),
    "widths": (4, 3),
}


def runs_of(sweep):
    allowed = choices()
    return plan_runs(
        sweep,
        [],
        lambda words: load_config(sweep.base, words, choices=allowed, environment={}),
        environment={},
    )


def test_every_sweep_file_is_counted():
    assert [path.stem for path in SWEEPS] == sorted(COUNTS)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_configuration_of_a_sweep_can_be_used(path):
    sweep = read_sweep(path)
    runs = runs_of(sweep)
    assert (len(sweep.cells), len(sweep.seeds)) == COUNTS[path.stem]
    assert len(runs) == len(sweep.cells) * len(sweep.seeds) * max(1, len(sweep.trials))
    assert sweep.output == Path("runs/sweeps") / path.stem
    assert len({run.folder for run in runs}) == len(runs)
    assert len({dump_config(run.cfg) for run in runs}) == len(runs)
    assert sweep.baseline in sweep.cells


# Whether networks can be built that differ from the base's in more than a weight
@pytest.mark.parametrize("name", ["taps", "granularities", "relations", "widths", "input_size"])
def test_every_network_of_a_sweep_builds(name):
    sweep = read_sweep(CONFIGS / f"sweeps/{name}.yaml")
    for run in runs_of(sweep)[: len(sweep.cells)]:
        model, _ = build_model(run.cfg, num_classes=3, load_weights=False)
        build_criterion(run.cfg)
        assert len(model.shallow) == len(run.cfg.MODEL.SDM.TAPS)
