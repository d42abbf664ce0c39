"""The data sets: to add one, write a file with its ``INFO`` and add a line to the table."""

from vireid.data.datasets import (
    bupt,
    csv_set,
    folder_set,
    llcm,
    orbench,
    regdb,
    sysu,
    vcm,
    vehicleid,
    veri,
)
from vireid.data.datasets.info import DatasetInfo

_INFOS = (
    sysu.INFO,
    regdb.INFO,
    llcm.INFO,
    orbench.INFO,
    vcm.INFO,
    bupt.INFO,
    csv_set.INFO,
    folder_set.INFO,
    veri.INFO,
    vehicleid.INFO,
)
# DATA.DATASET → how that data set is read and checked
DATASETS: dict[str, DatasetInfo] = {info.name: info for info in _INFOS}
