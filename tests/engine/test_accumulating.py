"""SOLVER.ACCUMULATE: one step by the mean gradient of several batches."""

import copy
import signal

import pytest
import torch

from tests.conftest import SMALL
from tests.engine.test_distributed import train_on_two
from tests.engine.test_step import trainer_of
from tests.run_files import column, last
from vireid.cli import train
from vireid.data.loading import batches
from vireid.data.transforms import normalize
from vireid.engine.signals import StopFlag
from vireid.structures import Batch

PLAIN = (*SMALL, "SOLVER.OPTIMIZER=sgd", "SOLVER.WEIGHT_DECAY=0", "SOLVER.MOMENTUM=0")
PLAIN += ("SOLVER.BASE_LR=0.1", "SOLVER.STEPS=[]")


def parts_of(batch: Batch, rows: list[slice]) -> list[Batch]:
    names = ("images", "labels", "is_infrared", "indices")
    return [Batch(*(getattr(batch, name)[part] for name in names)) for part in rows]


def test_a_step_goes_along_the_mean_of_the_batches_gradients(tiny_command, tmp_path):
    trainer, _ = trainer_of(tiny_command, tmp_path, *PLAIN)
    group = [batch for batch, _ in zip(batches(trainer.loader), range(3), strict=False)]
    before = copy.deepcopy(trainer.model)
    gradients, losses = [], []
    for batch in group:  # BatchNorm and triplets see one batch at a time
        model = copy.deepcopy(before)
        images = normalize(batch.images, trainer.mean, trainer.std)
        report = trainer.criterion(model(images, batch.is_infrared), batch)
        report.total.backward()
        gradients.append([p.grad for p in model.parameters()])
        losses.append(report.total.item())
    values = trainer.step(*group)
    assert values["loss"] == pytest.approx(sum(losses) / 3, rel=1e-6)
    for new, old, *found in zip(
        trainer.model.parameters(), before.parameters(), *gradients, strict=True
    ):
        torch.testing.assert_close(new, old - 0.1 * sum(found) / 3, rtol=1e-4, atol=4e-6)
    assert int(trainer.model.head.bnneck.num_batches_tracked) == 3


def test_halves_of_a_batch_equal_the_whole_where_nothing_compares_images(tiny_command, tmp_path):
    """By stored statistics and the loss on labels alone."""
    options = (*PLAIN, "MODEL.BN_EVAL=true", "LOSS.TRIPLET.WEIGHT=0")
    whole, batch = trainer_of(tiny_command, tmp_path, *options)
    halved, _ = trainer_of(tiny_command, tmp_path, *options)
    halved.model.load_state_dict(whole.model.state_dict())
    before = copy.deepcopy(whole.model)
    first, second = whole.step(batch), halved.step(*parts_of(batch, [slice(0, 8), slice(8, 16)]))
    assert second == pytest.approx(first, rel=1e-5)
    pairs = zip(whole.model.parameters(), halved.model.parameters(), strict=True)
    assert all(torch.allclose(one, other, rtol=1e-4, atol=4e-6) for one, other in pairs)
    assert not torch.equal(whole.model.head.classifier.weight, before.head.classifier.weight)


def test_an_epoch_has_fewer_steps_and_continues_between_them(tiny_command, tmp_path, monkeypatch):
    """Six batches are two steps, of four and of two; a stop comes after the first."""
    options = (*SMALL, "SOLVER.ACCUMULATE=4", "SOLVER.SCHEDULE=cosine", "SOLVER.EMA=0.9")

    def trained(stop_after: int, state=None):
        trainer, _ = trainer_of(tiny_command, tmp_path, *options)
        stop, step, sizes = StopFlag(), trainer.step, []
        if state is not None:
            trainer.load_weights(state, tmp_path)
            trainer.restore(state)
        else:
            torch.manual_seed(0)
            trainer.load_weights({"model": start}, tmp_path)

        def counted(*group):
            sizes.append(len(group))
            stop.received = signal.SIGTERM if len(sizes) == stop_after else 0
            return step(*group)

        monkeypatch.setattr(trainer, "step", counted)
        trainer.run_epoch(stop)
        return trainer, sizes

    start = copy.deepcopy(trainer_of(tiny_command, tmp_path, *options)[0].model.state_dict())
    straight, sizes = trained(0)
    assert sizes == [4, 2] and straight.steps == straight.progress.step == 2
    assert straight.optimizer.param_groups[0]["lr"] == pytest.approx(
        1e-3 * straight.schedule.factor(0.5)
    )
    first, sizes = trained(1)
    assert sizes == [4] and first.progress.step == 1
    second, sizes = trained(0, copy.deepcopy(first.state()))
    assert sizes == [2]
    assert second.progress.sums == straight.progress.sums
    for one, other in ((straight.model, second.model), (straight.average, second.average)):
        one, other = getattr(one, "model", one), getattr(other, "model", other)
        pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.slow
def test_two_processes_accumulate_what_one_does(tiny_command, tmp_path):
    """A classifier without a loss gets no gradient, with the second batch of a step, either."""
    options = (*SMALL, "SOLVER.ACCUMULATE=2", "SOLVER.EPOCHS=3", "SOLVER.STEPS=[]")
    options += ("MODEL.BN_EVAL=true", "LOSS.IDENTITY.WEIGHT=0", "SOLVER.BASE_LR=3.5e-4")
    assert train.main(tiny_command(tmp_path / "one", *options)) == 0
    train_on_two(tiny_command(tmp_path / "two", *options))
    one, two = (column(tmp_path / name, "loss") for name in ("one", "two"))
    assert column(tmp_path / "one", "steps") == [3, 3, 3] and one[2] != one[0]
    assert two == pytest.approx(one, abs=5e-5)
    states = [last(tmp_path / name)["model"]["head.classifier.weight"] for name in ("one", "two")]
    assert torch.equal(*states)
