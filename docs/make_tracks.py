"""Draws docs/figures/synthetic_tracks.jpg: two rendered tracks of one person."""

from pathlib import Path

import numpy as np
from PIL import Image

from vireid.synthetic.cameras import INFRARED
from vireid.synthetic.writers import LAYOUTS, Shot

FIGURE = Path(__file__).parent / "figures/synthetic_tracks.jpg"
SEED, PID, SIZE, FRAMES, GAP = 4, 1, (160, 80), 12, 4
CAMERAS = (2, 3 + INFRARED)


def main() -> None:
    """Frames from left to right; a row for each track, with a white gap between."""
    studio = LAYOUTS["vcm"].studio(SEED, SIZE)
    rows = [
        np.hstack([studio.picture(Shot(PID, camera, k, "", track=1)) for k in range(1, FRAMES + 1)])
        for camera in CAMERAS
    ]
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    Image.fromarray(np.vstack([rows[0], gap, rows[1]])).save(FIGURE, quality=88)
    print(f"wrote {FIGURE}")


if __name__ == "__main__":
    main()
