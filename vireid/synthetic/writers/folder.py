"""A set of folders with names, as people keep their own photos: before four cameras.

``{visible,infrared}/<name>/cam{camera}_{number:02d}.jpg``; which identities train is decided when
the set is read (``DATA.TEST_SHARE``).
"""

from vireid.synthetic.cameras import sysu_cameras
from vireid.synthetic.writers.layout import Layout, SetContent, SetNumbers
from vireid.synthetic.writers.pictures import Shot

FOLDERS = {1: "visible", 4: "visible", 3: "infrared", 6: "infrared"}  # by camera
NAMES = (
    "anna ben carla david elif farid greta hugo ines jonas kira liam mei noah olga paul qiu rosa "
    "sami tara uma viktor wanda xenia yusuf zoe"
).split()


def name_of(pid: int) -> str:
    """``anna`` … ``zoe``, then ``anna 2`` …"""
    rounds, place = divmod(pid - 1, len(NAMES))
    return NAMES[place] + (f" {rounds + 1}" if rounds else "")


def _content(numbers: SetNumbers) -> SetContent:
    shots = [
        Shot(pid, camera, n, f"{folder}/{name_of(pid)}/cam{camera}_{n:02d}.jpg")
        for pid in numbers.pids
        for camera, folder in FOLDERS.items()
        for n in range(1, numbers.images + 1)
    ]
    return SetContent(shots, {})


FOLDER = Layout(
    draw_cameras=sysu_cameras,
    content=_content,
    images=4,
)
