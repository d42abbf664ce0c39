"""Writes synthetic sets to disk exactly as the real data sets lie there."""

from collections.abc import Callable

from vireid.data.synthetic.layouts.common import Shot, Studio, person_of
from vireid.data.synthetic.layouts.counts import write_sysu_counts
from vireid.data.synthetic.layouts.llcm import write_llcm
from vireid.data.synthetic.layouts.regdb import write_regdb
from vireid.data.synthetic.layouts.sheet import write_sheet
from vireid.data.synthetic.layouts.sysu import sysu_cameras_of, sysu_image, write_sysu
from vireid.data.synthetic.layouts.vehicleid import write_vehicleid
from vireid.data.synthetic.layouts.veri import write_veri

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
