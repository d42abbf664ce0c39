"""The real visible–thermal images, where they are at hand."""

import tarfile
from pathlib import Path

import pytest

from vireid.data.datasets import regdb
from vireid.structures import Modality

ARCHIVE = Path(__file__).resolve().parents[2].parent / "shared/real/roadscene_regdb.tar.gz"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not ARCHIVE.is_file(), reason="the real images are not at hand"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "roadscene_regdb"


@pytest.mark.parametrize("trial", [1, 10])
def test_every_split_holds_206_identities_with_ten_images_of_each_modality(root, trial):
    splits = regdb.load(root, split_trial=trial)
    for part in (splits.train, splits.test):
        assert len({record.pid for record in part}) == 206
        for modality in Modality:
            assert sum(record.modality is modality for record in part) == 2060
