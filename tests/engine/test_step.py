"""A training step: what it asks of the device, and compiled what it does eagerly."""

import copy
from collections import Counter
from dataclasses import fields

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.utils._python_dispatch import TorchDispatchMode

from vireid.data.build import build_splits
from vireid.data.loading import batches
from vireid.engine.build import build_trainer
from vireid.engine.distributed import World
from vireid.engine.precision import AsyncScalars, compile_stages
from vireid.models.build import build_model
from vireid.models.two_stream import share_stages
from vireid.runs.options import read_config
from vireid.structures import Batch, HeadOutput, ModelOutput, PartOutput, TeacherOutput

# What makes the processor wait for a GPU: single numbers read, and shapes that depend on values
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2")


class Watch(TorchDispatchMode):
    """Counts the operations that a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(
            one.dtype == torch.bool for one in args[1] if one is not None
        )
        if by_mask or name in WAITS:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def trainer_of(tiny_command, folder, *options):
    words = tiny_command(folder, *options)
    cfg = read_config(words[1], words[2:])
    splits = build_splits(cfg)
    model = build_model(cfg, len(splits.train_pids))[0]
    trainer = build_trainer(cfg, model, splits, device=torch.device("cpu"), world=World())
    trainer.wrapped.train()
    return trainer, next(batches(trainer.loader))


@pytest.mark.parametrize("rule", ["adam", "adamw", "sgd"])
def test_a_step_waits_for_nothing_but_its_one_copy_of_numbers(tiny_command, tmp_path, rule):
    trainer, batch = trainer_of(tiny_command, tmp_path, f"SOLVER.OPTIMIZER={rule}")
    trainer.step(batch)  # constants are looked up once
    with Watch() as watch:
        trainer.step(batch)
    assert watch.seen == {"nonzero": 2}  # of the flags, which stay on the processor
    kind = {"adam": Adam, "adamw": AdamW, "sgd": SGD}[rule]
    assert type(trainer.optimizer) is kind and trainer.optimizer.defaults["fused"]


@pytest.mark.parametrize("statistics", ["joint", "dual"])
def test_channels_last_changes_the_layout_of_every_map_and_no_gradient(
    tiny_command, tmp_path, statistics
):
    losses, gradients, layouts = [], [], []
    for layout in ("false", "true"):
        torch.manual_seed(0)
        options = (f"CHANNELS_LAST={layout}", f"MODEL.NORM_STATISTICS={statistics}")
        trainer, batch = trainer_of(tiny_command, tmp_path, *options, "SOLVER.OPTIMIZER=sgd")
        model, seen = trainer.model.double(), []  # only rounding differs, so take little of it
        trainer.wrapped = lambda images, flags, model=model: model(images.double(), flags)
        for stage in model.backbone.stages:
            stage.register_forward_hook(lambda _, __, maps, seen=seen: seen.append(maps.stride(1)))
        losses.append(trainer.step(batch)["loss"])
        gradients.append([parameter.grad for parameter in model.parameters()])
        layouts.append({stride == 1 for stride in seen})
    assert layouts == [{False}, {True}]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-9)


def test_numbers_arrive_under_their_names():
    numbers = AsyncScalars({"loss": torch.tensor(2.5), "accuracy": torch.tensor(0.25)})
    assert numbers.read() == {"loss": 2.5, "accuracy": 0.25}


def stage(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


@pytest.mark.slow
def test_compiled_streams_compute_what_eager_ones_do(caplog):
    torch.manual_seed(0)
    eager = share_stages([stage(3, 4), stage(4, 4)], 1)
    compiled = copy.deepcopy(eager)
    compile_stages(compiled.stages, torch.device("cpu"))
    assert "no working compiler" not in caplog.text, caplog.text
    images, flags = torch.randn(6, 3, 12, 8), torch.tensor([0, 1, 0, 1, 1, 1]).bool()
    for network in (eager, compiled):
        for mask in (flags, ~flags):  # shares of the streams change
            network(images, mask)[-1].square().mean().backward()
    for (name, one), other in zip(eager.named_parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=name)
    with torch.inference_mode():
        both = [one.eval()(images[:5], flags[:5])[-1] for one in (eager, compiled)]
    torch.testing.assert_close(*both)


def test_a_track_of_equal_frames_trains_as_its_frame(tiny_command, tmp_path):
    trainer, batch = trainer_of(tiny_command, tmp_path)
    other, _ = trainer_of(tiny_command, tmp_path)
    other.model.load_state_dict(trainer.model.state_dict())
    other.frames = 3
    three = Batch(*(getattr(batch, f.name).repeat_interleave(3, dim=0) for f in fields(batch)))
    assert other.step(three) == pytest.approx(trainer.step(batch), rel=1e-3, abs=1e-4)
    assert other.images == 3 * trainer.images == 3 * len(batch.labels)


def test_outputs_of_a_track_are_the_means_of_its_frames():
    rows = torch.tensor([[1.0, 2.0], [3.0, 6.0], [0.0, 1.0], [4.0, 1.0]], requires_grad=True)
    head = HeadOutput(rows, 2 * rows, 3 * rows)
    parts = PartOutput(rows, rows, rows[:, None].expand(4, 5, 2))
    taught = TeacherOutput(rows, 4 * rows)
    found = ModelOutput({"deep": head}, (parts,), teacher=taught, averaged=head).per_track(2)
    mean = torch.tensor([[2.0, 4.0], [2.0, 1.0]])
    expected = {1: found.teacher.logits, 2: found.deep.feature, 3: found.averaged.logits}
    for factor, tensor in (expected | {4: found.teacher.feature}).items():
        torch.testing.assert_close(tensor, factor * mean)
    assert found.parts[0].logits.shape == (2, 5, 2)
    found.deep.embedding.sum().backward()
    assert rows.grad is not None and rows.grad.unique().tolist() == [0.5]
