"""The real visible–thermal images, where they are at hand."""

import csv
import tarfile
from pathlib import Path

import pytest

from vireid.cli import train
from vireid.data import regdb
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


@pytest.mark.slow
def test_a_small_network_learns_on_real_images(root, tmp_path):
    options = {
        "DATA.ROOT": str(root),
        "INPUT.SIZE": "[48, 32]",
        "INPUT.PAD": "2",
        "MODEL.BACKBONE": "osnet_x0_25",
        "MODEL.PRETRAINED": "none",
        "SOLVER.EPOCHS": "2",
        "SOLVER.WARMUP_EPOCHS": "0",
        "SOLVER.BASE_LR": "1e-3",
        "TEST.PROTOCOLS": "regdb_v2t",
        "OUTPUT_DIR": str(tmp_path / "run"),
    }
    pairs = [word for pair in options.items() for word in pair]
    assert train.main(["--cfg", "configs/regdb.yaml", *pairs]) == 0
    with (tmp_path / "run/metrics.csv").open() as file:
        first, second = (float(row["loss"]) for row in csv.DictReader(file))
    assert second < 0.8 * first
