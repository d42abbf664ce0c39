"""SOLVER.EMA: the average equals a plain loop's, is what readers take, and continues exactly."""

import copy
import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import SMALL
from tests.engine.test_distributed import ONE_STEP, train_on_two
from tests.engine.test_step import trainer_of
from tests.run_files import (
    assert_same_training,
    change_checkpoint,
    column,
    last,
    metrics,
    stop_at_step,
)
from vireid.cli import evaluate, export, train
from vireid.data.transforms import normalize
from vireid.engine.averaging import WeightAverage
from vireid.engine.checkpoint import BEST, LAST, RAW, load_checkpoint
from vireid.engine.model_folder import read_model_folder
from vireid.errors import CheckpointError
from vireid.losses.distillation import distillation_loss, unit_hint_loss
from vireid.models.pretrained import load_weights

TAUGHT = (SMALL[0], "MODEL.MGIM.ENABLED=false", "MODEL.SDM.TAPS=[conv2, conv4]")
TAUGHT += ("SOLVER.EMA=0.9", "MODEL.SDM.TEACHER=ema")


@pytest.fixture(scope="module")
def averaged_run(tiny_command, tmp_path_factory) -> Path:
    """Two epochs in which the average teaches the student heads. Never write into it."""
    folder = tmp_path_factory.mktemp("averaged") / "run"
    assert train.main(tiny_command(folder, *TAUGHT)) == 0
    return folder


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in state.items()}


@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_it_equals_a_plain_loop_over_the_steps(tiny_command, tmp_path, decay: float):
    """0.3 is less than the rising decay from the fourth step on, 0.99 never."""
    trainer, batch = trainer_of(tiny_command, tmp_path, *SMALL, f"SOLVER.EMA={decay}")
    expected = copied(trainer.model.state_dict())
    for n in range(6):
        trainer.advance(batch)
        d = min(decay, (1 + n) / (10 + n))
        for key, value in trainer.model.state_dict().items():
            if value.is_floating_point():
                expected[key] = d * expected[key] + (1 - d) * value
            else:
                expected[key] = value
    found = trainer.average.model.state_dict()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    moved = max(float((found[k] - v).abs().max()) for k, v in trainer.model.state_dict().items())
    assert moved > 1e-3
    counters = [int(value) for key, value in found.items() if key.endswith("batches_tracked")]
    assert set(counters) == {6}
    state = trainer.state()
    for name, model in (("model", trainer.average.model), (RAW, trainer.model)):
        assert all(torch.equal(state[name][k], v) for k, v in model.state_dict().items())


def test_weights_that_do_not_change_are_their_own_average(tiny_command, tmp_path):
    """To the last bit: frozen epochs leave loaded weights as they are."""
    trainer, _ = trainer_of(tiny_command, tmp_path, *SMALL)
    average = WeightAverage(trainer.model, 0.99)
    for steps in range(20):
        average.update(steps)
    held = trainer.model.state_dict()
    assert all(torch.equal(held[k], v) for k, v in average.model.state_dict().items())


def test_it_changes_nothing_of_the_training(tiny_command, small_run, tmp_path):
    options = (*SMALL, "SOLVER.EPOCHS=1", "SOLVER.EMA=0.9")
    assert train.main(tiny_command(tmp_path / "run", *options)) == 0
    assert metrics(tmp_path / "run") == metrics(small_run)
    plain, kept = last(small_run), last(tmp_path / "run")
    assert RAW not in plain and kept.keys() == {*plain, RAW}
    assert all(torch.equal(kept[RAW][key], value) for key, value in plain["model"].items())


def test_stopped_and_resumed_equals_undisturbed(tiny_command, averaged_run, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at_step(patch, 8, signal.SIGTERM)  # the second step of the second epoch
        assert train.main(tiny_command(folder, *TAUGHT)) == 143
    assert train.main([*tiny_command(folder, *TAUGHT), "--resume"]) == 0
    assert_same_training(folder, averaged_run)
    assert results(folder) == results(averaged_run)


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())["protocols"]


def test_every_reader_takes_the_averaged_weights(tiny_command, averaged_run, tmp_path):
    """Scores of the training, of a later evaluation, exports, and what new trainings start from."""
    run, checkpoint = shutil.copytree(averaged_run, tmp_path / "copy"), last(averaged_run)
    assert not torch.equal(*(checkpoint[k]["head.bnneck.running_var"] for k in ("model", RAW)))
    (run / "results.json").unlink()
    assert evaluate.main(["--run", str(run)]) == 0
    assert results(run) == results(averaged_run)
    out = tmp_path / "exported"
    assert export.main(["--run", str(run), "--format", "safetensors", "--out", str(out)]) == 0
    weights = read_model_folder(out)["model"]
    assert all(torch.equal(checkpoint["model"][key], tensor) for key, tensor in weights.items())
    model = trainer_of(tiny_command, tmp_path / "new", *TAUGHT)[0].model
    loaded = load_weights(model, run / LAST).loaded
    assert all(torch.equal(model.state_dict()[k], checkpoint["model"][k]) for k in loaded)
    assert len(loaded) > 100


def test_the_best_epoch_is_one_of_the_average(tiny_command, tmp_path):
    options = ("DATA.SPLIT=train", "SOLVER.VAL_EVERY=1", "SOLVER.SELECT=best", "SOLVER.EMA=0.9")
    assert train.main(tiny_command(tmp_path, *SMALL, *options)) == 0
    rows, checkpoint = metrics(tmp_path), load_checkpoint(tmp_path / BEST)
    own = rows[checkpoint["progress"]["epoch"] - 1]
    scores = {}
    for name in ("model", RAW):
        change_checkpoint(tmp_path / BEST, model=checkpoint[name])
        assert evaluate.main(["--run", str(tmp_path), "--protocols", "val_v2i"]) == 0
        scores[name] = results(tmp_path)["val_v2i"]["mean"]["mAP"]
    assert scores["model"] == float(own["val_v2i_mAP"]) != scores[RAW]


def test_it_may_begin_and_end_with_a_continuation(tiny_command, tmp_path):
    """It begins with the weights that are there; without it those that trained go on."""
    plain, batch = trainer_of(tiny_command, tmp_path, *SMALL)
    averaging, _ = trainer_of(tiny_command, tmp_path, *SMALL, "SOLVER.EMA=0.9")
    averaging.load_weights(plain.state(), tmp_path)
    own, average = averaging.model.state_dict(), averaging.average.model.state_dict()
    for key, tensor in plain.model.state_dict().items():
        assert torch.equal(own[key], tensor) and torch.equal(average[key], tensor)
    averaging.step(batch)
    plain.load_weights(averaging.state(), tmp_path)
    held = plain.model.state_dict()
    assert all(torch.equal(held[key], tensor) for key, tensor in own.items())
    assert not torch.equal(held["head.bnneck.running_var"], average["head.bnneck.running_var"])


def test_the_average_teaches_by_its_logits_and_its_embedding(tiny_command, tmp_path):
    """Of two steps, computed by hand from a copy of it."""
    trainer, batch = trainer_of(tiny_command, tmp_path, *TAUGHT, "SOLVER.BASE_LR=1e-2")
    trainer.advance(batch)
    student, teacher = copy.deepcopy(trainer.model), copy.deepcopy(trainer.average.model)
    images = normalize(batch.images, trainer.mean, trainer.std)
    own, target = student(images, batch.is_infrared), teacher(images, batch.is_infrared).deep
    values = trainer.step(batch)
    for name in ("shallow1", "shallow2"):
        kl = distillation_loss(own.heads[name].logits, target.logits, 3.0)
        hint = unit_hint_loss(own.heads[name].feature, target.feature)
        assert values[f"loss_sdm_kl_{name}"] == pytest.approx(kl.item(), rel=1e-4)
        assert values[f"loss_sdm_hint_{name}"] == pytest.approx(hint.item(), rel=1e-4)
        other = distillation_loss(own.heads[name].logits, own.deep.logits, 3.0).item()
        assert abs(other - kl.item()) > 1e-3
    assert not trainer.average.model.training
    assert all(p.grad is None for p in trainer.average.model.parameters())


@pytest.mark.slow
def test_two_processes_keep_and_are_taught_by_the_average_of_one(tiny_command, tmp_path):
    extra = (*ONE_STEP, *TAUGHT, "MODEL.BN_EVAL=true")
    assert train.main(tiny_command(tmp_path / "one", *extra)) == 0
    train_on_two(tiny_command(tmp_path / "two", *extra))
    for name in ("loss", "loss_sdm_kl_shallow1", "loss_sdm_hint_shallow2"):
        one, two = (column(tmp_path / folder, name) for folder in ("one", "two"))
        assert len(one) == 5 and two == pytest.approx(one, abs=1e-5)
    states = [last(tmp_path / name)["model"] for name in ("one", "two")]
    torch.testing.assert_close(states[0], states[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("MODEL.SDM.TEACHER=ema", "MODEL.SDM.TEACHER ema needs averaged weights: set SOLVER.EMA"),
        ("SOLVER.EMA=1", "SOLVER.EMA must be 0 or more and less than 1, got 1.0"),
    ],
)
def test_what_cannot_be_averaged_is_refused(tiny_command, tmp_path, capsys, option, message):
    assert train.main(tiny_command(tmp_path / "run", option)) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_damaged_weights_that_train_are_refused(averaged_run, tmp_path):
    change_checkpoint(averaged_run / LAST, out=tmp_path / "last.pth", **{RAW: {"pool.p": 3.0}})
    with pytest.raises(CheckpointError, match="entry raw_model is not as it was saved"):
        load_checkpoint(tmp_path / "last.pth")
