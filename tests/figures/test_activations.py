import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vireid.errors import DataError, UsageError
from vireid.figures.activations import (
    Activations,
    activations_of,
    choose_records,
    draw_activations,
    energy_maps,
    read_activations,
    write_activations,
)
from vireid.models.heads import PartFeatures, PartsHead
from vireid.models.modality_norm import ModalityRows
from vireid.models.parts import MultiGranularityParts
from vireid.models.pooling import AvgPool, GeMPool
from vireid.models.reid_model import ReidModel
from vireid.models.student_heads import StudentHead
from vireid.models.two_stream import TwoStream
from vireid.structures import ImageRecord, Modality


class Times(nn.Module):
    """A stage that multiplies."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, maps: Tensor) -> Tensor:
        return self.factor * maps


def hand_made(*, dual: bool = False) -> ReidModel:
    """Visible images times 2, infrared ones times 3, both times 5; the student sees a quarter."""
    student = StudentHead(0, nn.Sequential(nn.AvgPool2d(2), AvgPool()), dim=3, num_classes=2)
    aggregate = MultiGranularityParts(
        GeMPool(3.0), channels=3, granularities=[2, 4], dim=2, relation="none"
    )
    parts = PartsHead(PartFeatures(aggregate, bnneck=True), classifier="part", num_classes=2)
    return ReidModel(
        TwoStream([Times(2.0)], [Times(3.0)], [Times(5.0)]),
        AvgPool(),
        dim=3,
        num_classes=2,
        shallow={"shallow1": student},
        parts=parts,
        rows=ModalityRows() if dual else None,
    )


def records(*modalities: Modality) -> list[ImageRecord]:
    return [
        ImageRecord(f"cam{1 + m}/{pid}.jpg", pid, 1 + int(m), m) for pid, m in enumerate(modalities)
    ]


V, I = Modality.VISIBLE, Modality.INFRARED  # noqa: E741


def test_energy_is_the_squared_map_that_each_pooling_receives():
    images = torch.randn(3, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    model = hand_made().train()
    found = energy_maps(model, images, torch.tensor([False, False, True]))
    own = images * torch.tensor([2.0, 2.0, 3.0])[:, None, None, None]
    halved = own.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
    assert list(found) == ["shallow1", "deep"]
    np.testing.assert_allclose(found["deep"], (5 * own).square().sum(1).numpy(), rtol=1e-5)
    np.testing.assert_allclose(found["shallow1"], halved.square().sum(1).numpy(), rtol=1e-5)
    assert model.training
    assert not model.pool._forward_pre_hooks


@pytest.mark.parametrize("dual", [False, True])
def test_maps_belong_to_their_images_whatever_the_order(dual):
    some = records(I, V, I, V)
    images = torch.zeros(4, 3, 4, 2, dtype=torch.uint8)
    images[:, 0, 1, 0] = torch.tensor([255, 51, 102, 204], dtype=torch.uint8)
    cpu, model = torch.device("cpu"), hand_made(dual=dual)
    options = {"labels": [*"abcd"], "mean": [0.0] * 3, "std": [1.0] * 3, "device": cpu}
    found = activations_of(model, images, some, **options)
    expected = np.array([1.0 * 3, 0.2 * 2, 0.4 * 3, 0.8 * 2]) * 5
    np.testing.assert_allclose(found.maps["deep"][:, 1, 0], expected**2, rtol=1e-5)
    assert found.paths.tolist() == [record.path for record in some]
    assert found.modality.tolist() == [1, 0, 1, 0] and found.labels.tolist() == [*"abcd"]
    np.testing.assert_array_equal(found.images, images.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(found.shares(2), [[1, 0]] * 4)
    np.testing.assert_allclose(found.shares(4), [[0, 1, 0, 0]] * 4)
    assert found.granularities == (2, 4)


def some_activations(count: int = 3) -> Activations:
    rng = np.random.default_rng(0)
    return Activations(
        images=rng.integers(0, 255, (count, 8, 4, 3), dtype=np.uint8),
        paths=np.array([f"{k}.jpg" for k in range(count)]),
        pids=np.arange(count),
        camids=np.arange(count) + 1,
        modality=np.zeros(count, dtype=np.uint8),
        labels=np.array([f"identity {k}, camera {k + 1}" for k in range(count)]),
        maps={"shallow1": rng.random((count, 4, 2)), "deep": rng.random((count, 6, 3))},
        granularities=(2, 4),
    )


def test_shares_of_overlapping_stripes_count_common_rows_in_both():
    found = some_activations(1)
    rows = found.maps["deep"][0].sum(axis=1)
    expected = [rows[0:2].sum(), rows[1:3].sum(), rows[3:5].sum(), rows[4:6].sum()]
    np.testing.assert_allclose(found.shares(4)[0], expected / rows.sum())
    np.testing.assert_allclose(found.shares(3).sum(axis=1), 1)
    found.maps["deep"][:] = 0
    assert found.shares(2).tolist() == [[0.0, 0.0]]


def test_the_picture_can_be_drawn_again_from_its_file(tmp_path):
    found, path = some_activations(1), tmp_path / "a.npz"
    write_activations(path, found)
    again = read_activations(path)
    np.testing.assert_equal(dataclasses.asdict(again), dataclasses.asdict(found))
    for name, activations in (("one", found), ("two", again)):
        draw_activations(activations, tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_files_without_labels_name_identity_and_camera(tmp_path):
    """Version 0.1 wrote such files."""
    found, path = some_activations(), tmp_path / "a.npz"
    write_activations(path, found)
    with np.load(path) as file:
        np.savez(path, **{name: file[name] for name in file.files if name != "labels"})
    assert read_activations(path).labels.tolist() == found.labels.tolist()


@pytest.mark.parametrize("content", [b"", b"PK", b"not a file of maps", None])
def test_other_files_are_refused(tmp_path, content):
    path, found = tmp_path / "a.npz", some_activations()
    write_activations(path, dataclasses.replace(found, images=found.images[:2]))
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz holds no activations"):
        read_activations(path)


@pytest.mark.parametrize(
    "damaged",
    [
        {"images": np.zeros((3, 8, 4), np.uint8)},
        {"modality": np.full(3, 9)},
        {"maps": {"deep": np.zeros((3, 6))}},
        {"maps": {"deep": np.full((3, 6, 3), np.nan)}},
        {"granularities": (2, 500)},
    ],
)
def test_maps_that_no_figure_can_show_are_refused(tmp_path, damaged):
    write_activations(tmp_path / "a.npz", dataclasses.replace(some_activations(), **damaged))
    with pytest.raises(DataError, match=r"a\.npz holds no activations"):
        read_activations(tmp_path / "a.npz")


def test_an_identity_stands_for_its_first_image_of_each_modality():
    some = records(V, I, V) + [ImageRecord("b.jpg", 0, 2, I), ImageRecord("c.jpg", 0, 2, I)]
    assert [r.path for r in choose_records(some, names=["0", "cam2/1.jpg"])] == [
        "cam1/0.jpg",
        "b.jpg",
        "cam2/1.jpg",
    ]
    assert [r.path for r in choose_records(some, count=1)] == ["cam1/0.jpg", "b.jpg"]


def test_junk_and_distractors_are_shown_by_name_only():
    some = [ImageRecord(f"{p}_{m.name}.jpg", p, 1, m) for p in (-2, 0, 4) for m in (V, I)]
    assert {record.pid for record in choose_records(some, count=1)} == {4}
    assert {record.pid for record in choose_records(some[2:], count=2)} == {0, 4}
    assert [r.pid for r in choose_records(some, names=["-2_VISIBLE.jpg"])] == [-2]


def test_images_and_identities_that_are_not_there_are_named():
    some = records(V, I)
    with pytest.raises(DataError, match="'7'"):
        choose_records(some, names=["0", "7"])
    with pytest.raises(DataError, match="no identity has images of both"):
        choose_records(some)
    with pytest.raises(UsageError, match="--ids 2: 1 identities"):
        choose_records([*some, ImageRecord("b.jpg", 0, 2, I)], count=2)

    some = records(V, V, V)  # of one modality
    assert len(choose_records(some, count=2)) == 2
    with pytest.raises(UsageError, match="--ids 4: 3 identities"):
        choose_records(some, count=4)
