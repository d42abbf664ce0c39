"""``visualize corruptions``: an image under every kind and severity of corruption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import modality, seed_number
from vireid.cli.visualize.kinds import kind_parser
from vireid.data.images import read_image
from vireid.data.pixels import SHOWN
from vireid.figures.corruption import draw_corruptions
from vireid.figures.style import require_figure
from vireid.structures import Modality


def main(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py corruptions --help``."""
    line = kind_parser("corruptions", "--image person.jpg --out corruptions.jpg")
    line.add_argument("--image", type=Path, required=True, metavar="FILE", help="image to corrupt")
    about = "of the image; infrared images have no kind saturate (visible)"
    line.add_argument(
        "--modality", type=modality, default=Modality.VISIBLE, metavar="NAME", help=about
    )
    line.add_argument("--seed", type=seed_number, default=0, help="seed of the noise (0)")
    args = line.parse(arguments)
    require_figure(args.out, inputs=[args.image])
    image = read_image(args.image, SHOWN)
    draw_corruptions(image, args.out, modality=args.modality, seed=args.seed)
    print(f"wrote {args.out}")
