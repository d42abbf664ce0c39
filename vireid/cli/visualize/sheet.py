"""``visualize sheet``: images of a data set, identities by camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import LIST, ToolParser, as_overrides, at_least, seed_number
from vireid.cli.visualize.kinds import kind_parser
from vireid.config import load_config
from vireid.data.datasets import DATASETS
from vireid.errors import UsageError
from vireid.figures.contact_sheet import contact_sheet, draw_contact_sheet
from vireid.figures.style import require_figure, require_no_image
from vireid.runs.options import run_config
from vireid.runs.rendered_data import require_rendered
from vireid.structures import SPLITS


def main(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py sheet --help``."""
    args = _parser().parse(arguments)
    if args.run and args.root:
        raise UsageError("--root goes with --dataset; a run knows its data set")
    if args.dataset and not args.root:
        raise UsageError("--dataset needs --root, the folder of the images")
    require_figure(args.out, inputs=[args.run or args.root])
    if args.run:
        cfg = run_config(args.run, args.overrides)
        require_rendered(cfg)
    else:
        chosen = as_overrides({"DATA.DATASET": args.dataset, "DATA.ROOT": str(args.root)})
        cfg = load_config(None, [*args.overrides, *chosen], environment={})
    name, data = cfg.DATA.DATASET, cfg.DATA
    splits = DATASETS[name].read(data.ROOT, data, split=data.SPLIT, split_trial=data.TRIAL)
    records = [*splits.train, *splits.val, *splits.test]
    require_no_image(args.out, splits.root, (record.path for record in records))
    choice = {"ids": args.ids, "seed": args.seed, "images": args.images, "cameras": args.cameras}
    sheet = contact_sheet(splits, args.split, name=name, **choice)
    draw_contact_sheet(sheet, splits.root, args.out)
    print(f"wrote {args.out}: {sheet.title}")


def _parser() -> ToolParser:
    line = kind_parser(
        "sheet",
        "--dataset sysu --root /data/SYSU-MM01 --out sheet.jpg",
        "--run runs/demo/seed0 --ids 8 --split train --out sheet.jpg",
    )
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", choices=sorted(DATASETS), help="data set in --root")
    source.add_argument("--run", type=Path, metavar="DIR", help="run folder: its data set")
    line.add_argument("--root", type=Path, metavar="DIR", help="with --dataset: its folder")
    line.add_argument("--split", choices=SPLITS, default="test", help="images to draw (test)")
    about = "number of identities (6, or all of fewer)"
    line.add_argument("--ids", type=at_least(1), metavar="N", help=about)
    about = "seed of the random identities (0)"
    line.add_argument("--seed", type=seed_number, default=0, help=about)
    about = "images per identity and camera (as many as fill a row of 12)"
    line.add_argument("--images", type=at_least(1), metavar="N", help=about)
    about = "draw these cameras only: names or numbers"
    line.add_argument("--cameras", metavar="NAME", help=about, **LIST)
    about = "options of the data set, e.g. DATA.TRIAL 2"
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=about)
    return line
