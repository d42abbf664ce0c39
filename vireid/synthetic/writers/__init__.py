"""Writes synthetic sets to disk exactly as the real data sets lie there."""

from collections.abc import Callable

from vireid.synthetic.writers.common import Shot, Studio, person_of
from vireid.synthetic.writers.contact_sheet import write_sheet
from vireid.synthetic.writers.counts import write_sysu_counts
from vireid.synthetic.writers.llcm import write_llcm
from vireid.synthetic.writers.regdb import write_regdb
from vireid.synthetic.writers.sysu import sysu_cameras_of, sysu_image, write_sysu
from vireid.synthetic.writers.vehicleid import write_vehicleid
from vireid.synthetic.writers.veri import write_veri

LAYOUTS: dict[str, Callable[..., None]] = {
    "sysu": write_sysu,
    "regdb": write_regdb,
    "llcm": write_llcm,
    "veri": write_veri,
    "vehicleid": write_vehicleid,
}
# (height, width) of pictures where nobody asks for another
USUAL_SIZES: dict[str, tuple[int, int]] = {"veri": (128, 128), "vehicleid": (128, 128)}
# Layouts that can also repeat a real set's image counts, given that set's permutations.
COUNTED: dict[str, Callable[..., None]] = {"sysu": write_sysu_counts}

__all__ = [
    "COUNTED",
    "LAYOUTS",
    "USUAL_SIZES",
    "Shot",
    "Studio",
    "person_of",
    "sysu_cameras_of",
    "sysu_image",
    "write_llcm",
    "write_regdb",
    "write_sheet",
    "write_sysu",
    "write_sysu_counts",
    "write_vehicleid",
    "write_veri",
]
