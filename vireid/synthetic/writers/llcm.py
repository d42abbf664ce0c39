"""The layout of LLCM: nine cameras in poor light, by day and by night.

``{vis,nir}/{pid:04d}/{pid:04d}_c{cc}_s{time}_f{frame}_{vis,nir}.jpg``, copies of the test images in
``test_{vis,nir}/cam{c}/{pid:04d}/``, ``idx/{train,test}_{vis,nir}.txt`` and ``idx/test_id.txt``.
"""

from pathlib import PurePosixPath

from vireid.synthetic.cameras import llcm_cameras
from vireid.synthetic.writers.layout import Layout, SetContent, SetNumbers
from vireid.synthetic.writers.pictures import Shot

CAMERAS = range(1, 10)
DAY_ONLY = 3  # camera without near infrared
INFRARED = 10  # the near-infrared pictures of camera c have the key c + 10
MIN_CAMERAS = 4  # that see an identity; it is searched for in other cameras than the query's
HOURS = {"vis": (7, 18), "nir": (19, 23)}  # first and last


def _kind(camera: int) -> str:
    return "nir" if camera > INFRARED else "vis"


def _seen_by(pid: int, numbers: SetNumbers) -> list[int]:
    """Cameras that see an identity, by day and by night alike."""
    rng = numbers.random("presence", pid)
    number = int(rng.integers(MIN_CAMERAS, len(CAMERAS) + 1))
    days = sorted(int(camera) + 1 for camera in rng.permutation(len(CAMERAS))[:number])
    return [*days, *(camera + INFRARED for camera in days if camera != DAY_ONLY)]


def _shots(pid: int, camera: int, numbers: SetNumbers) -> list[Shot]:
    """One passage before one camera, with a time and frame numbers in the names."""
    rng, kind = numbers.random("names", pid, camera), _kind(camera)
    hour = rng.integers(HOURS[kind][0], HOURS[kind][1] + 1)
    time = f"{hour:02d}{rng.integers(60):02d}{rng.integers(60):02d}"
    frame = int(rng.integers(1, 6000))
    stem = f"{kind}/{pid:04d}/{pid:04d}_c{camera % INFRARED:02d}_s{time}"
    return [
        Shot(pid, camera, n, f"{stem}_f{frame + 17 * n}_{kind}.jpg")
        for n in range(1, numbers.images + 1)
    ]


def _content(numbers: SetNumbers) -> SetContent:
    shots = [
        shot
        for pid in numbers.pids
        for camera in _seen_by(pid, numbers)
        for shot in _shots(pid, camera, numbers)
    ]
    order = numbers.random("split").permutation(numbers.pids).tolist()
    test = sorted(order[: numbers.test_ids])
    files = {"idx/test_id.txt": ",".join(map(str, test)) + "\n"}
    for part, pids in {"train": sorted(order[numbers.test_ids :]), "test": test}.items():
        label_of = {pid: label for label, pid in enumerate(pids)}
        for kind in HOURS:
            files[f"idx/{part}_{kind}.txt"] = "".join(
                f"{shot.path} {label_of[shot.pid]}\n"
                for shot in shots
                if shot.pid in label_of and _kind(shot.camera) == kind
            )
    tested = set(test)  # the real set repeats its test images, sorted by camera
    copies = {
        f"test_{_kind(shot.camera)}/cam{shot.camera % INFRARED}/{shot.pid:04d}/"
        f"{PurePosixPath(shot.path).name}": shot.path
        for shot in shots
        if shot.pid in tested
    }
    return SetContent(shots, files, copies)


LLCM = Layout(
    draw_cameras=llcm_cameras,
    content=_content,
    images=4,
)
