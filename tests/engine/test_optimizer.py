"""Learning rates by group, and how far one step of the optimiser goes."""

import pytest
import torch

from vireid.config.schema import default_config
from vireid.data.build import build_splits
from vireid.engine.build import build_trainer
from vireid.engine.distributed import World
from vireid.engine.optim import build_optimizer
from vireid.engine.trainer import Trainer
from vireid.losses.build import build_criterion
from vireid.models.build import build_model
from vireid.models.reid_model import parameter_groups

CPU = torch.device("cpu")


def config(**options: object):
    cfg = default_config()
    cfg.INPUT.SIZE, cfg.MODEL.MGIM.GRANULARITIES = [64, 32], [2, 4]
    cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = "osnet_x0_25", "none"
    cfg.SAMPLER.IDENTITIES, cfg.SAMPLER.IMAGES, cfg.DATA.WORKERS = 4, 2, 0
    cfg.merge_from_list([word for pair in options.items() for word in pair])
    return cfg


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_every_group_has_its_rate(optimizer: str):
    cfg = config(
        **{
            "SOLVER.OPTIMIZER": optimizer,
            "SOLVER.BASE_LR": 0.5,
            "SOLVER.BACKBONE_LR_FACTOR": 0.1,
            "SOLVER.SPECIFIC_LR_FACTOR": 0.2,
        }
    )
    model, _ = build_model(cfg, 7)
    groups = build_optimizer(cfg.SOLVER, model, build_criterion(cfg)).param_groups
    rates = {group["name"]: group["base_lr"] for group in groups}
    assert rates == pytest.approx({"specific": 0.01, "backbone": 0.05, "head": 0.5})
    assert [group["lr"] for group in groups] == [group["base_lr"] for group in groups]
    expected = {name: set(map(id, members)) for name, members in parameter_groups(model).items()}
    assert {group["name"]: set(map(id, group["params"])) for group in groups} == expected


def moved(tiny_sysu, clip: float) -> tuple[float, Trainer]:
    """How far one step of plain gradient descent at rate 1 takes all weights together."""
    cfg = config(
        **{
            "DATA.ROOT": str(tiny_sysu),
            "SOLVER.OPTIMIZER": "sgd",
            "SOLVER.MOMENTUM": 0.0,
            "SOLVER.WEIGHT_DECAY": 0.0,
            "SOLVER.BASE_LR": 1.0,
            "SOLVER.WARMUP_EPOCHS": 0,
            "SOLVER.CLIP_NORM": clip,
            "PRECISION": "fp32",
        }
    )
    torch.manual_seed(0)
    splits = build_splits(cfg)
    model, _ = build_model(cfg, len(splits.train_pids))
    before = [p.detach().clone() for p in model.parameters()]
    trainer = build_trainer(cfg, model, splits, device=CPU, world=World())
    trainer.wrapped.train()
    trainer.advance(next(iter(trainer.loader)))
    steps = [(p.detach() - b).norm() for p, b in zip(model.parameters(), before, strict=True)]
    return float(torch.stack(steps).norm()), trainer


def test_a_long_gradient_is_shortened_to_the_norm_asked_for_and_a_short_one_is_not(tiny_sysu):
    free, trainer = moved(tiny_sysu, clip=0.0)
    assert free > 0.1
    assert moved(tiny_sysu, clip=0.01)[0] == pytest.approx(0.01, rel=1e-3)
    assert moved(tiny_sysu, clip=10 * free)[0] == pytest.approx(free, rel=1e-3)
    assert trainer.progress.step == 1 and trainer.progress.sums["loss"] > 0


def test_advancing_follows_the_schedule(tiny_sysu):
    _, trainer = moved(tiny_sysu, clip=0.01)
    trainer.progress.epoch = 60  # SOLVER.STEPS [60, 90]
    trainer.advance(next(iter(trainer.loader)))
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    assert rates == pytest.approx([0.1] * 3)
    assert trainer.progress.step == 2
