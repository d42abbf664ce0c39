import math

import pytest

from vireid.engine.optim import Schedule

STEP = Schedule(kind="step", epochs=120, warmup_epochs=10, warmup_factor=0.1, steps=(60, 90))
COSINE = Schedule(kind="cosine", epochs=12, warmup_epochs=2, warmup_factor=0.5, min_factor=0.01)


@pytest.mark.parametrize(
    ("progress", "factor"),
    [(0, 0.1), (5, 0.55), (9.5, 0.955), (10, 1), (59.99, 1), (60, 0.1), (89, 0.1), (90, 0.01)],
)
def test_step_schedule_warms_up_linearly_and_falls_at_its_epochs(progress, factor):
    assert STEP.factor(progress) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("progress", "factor"),
    [
        (0, 0.5),
        (1, 0.75),
        (2, 1),
        (7, 0.01 + 0.99 / 2),
        (4.5, 0.01 + 0.99 * (1 + math.cos(math.pi / 4)) / 2),
        (12, 0.01),
        (13, 0.01),
    ],
)
def test_cosine_schedule_ends_at_its_smallest_factor(progress, factor):
    assert COSINE.factor(progress) == pytest.approx(factor)


def test_a_training_shorter_than_its_warm_up_is_all_warm_up():
    short = Schedule(kind="cosine", epochs=2, warmup_epochs=10, warmup_factor=0.0)
    assert [short.factor(p) for p in (0, 1, 2)] == pytest.approx([0, 0.1, 0.2])


def test_without_warm_up_the_rate_starts_whole():
    assert Schedule(kind="step", epochs=3).factor(0) == 1
