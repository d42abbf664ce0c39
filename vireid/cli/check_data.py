"""Checks a data set: compares it with its published counts and opens every image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vireid.cli.arguments import parser, tool
from vireid.config import load_config
from vireid.data.datasets import DATASETS
from vireid.data.verify import DataCheck, check_dataset
from vireid.errors import DataError

SHOWN = 10  # bad paths


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/check_data.py --help``."""
    line = parser(__doc__, "python tools/check_data.py --dataset sysu --root /data/SYSU-MM01")
    about = "data set to check"
    line.add_argument("--dataset", choices=sorted(DATASETS), required=True, help=about)
    line.add_argument("--root", required=True, metavar="PATH", help="folder of the data set")
    about = "do not compare with published counts: for a part of the set, or own data in its layout"
    line.add_argument("--reduced", action="store_true", help=about)
    about = "options of the data set, e.g. DATA.CAMERA_PATTERN '(cam.)' with --dataset folder"
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=about)
    args = line.parse(arguments)
    options = load_config(None, args.overrides, environment={}).DATA
    report = check_dataset(args.dataset, args.root, reduced=args.reduced, options=options)
    print(f"{args.dataset} in {args.root}\n\n" + "\n".join(lines_of(report)))
    if report.faults:
        many = "1 thing is" if report.faults == 1 else f"{report.faults} things are"
        info = DATASETS[args.dataset]
        raise DataError(f"{args.root}: {many} wrong, as shown above\n{info.where_to_get}")
    print("nothing is wrong" + (", but see what is suspicious" if report.findings else ""))


def lines_of(report: DataCheck) -> Iterator[str]:
    """A table of counts, then the images, the problems, the suspicious things and the notes."""
    width = max(len(count.name) for count in report.counts)
    yield f"{'':{width}}  {'expected':>8}  {'found':>8}"
    for count in report.counts:
        expected = "-" if count.expected is None else f"{count.expected:,}"
        mark = "  <- differs" if count.differs else ""
        yield f"{count.name:{width}}  {expected:>8}  {count.found:>8,}{mark}"
    images = report.images
    yield f"\n{images.opened:,} images opened, {len(images.unreadable):,} cannot be read"
    yield from (f"  {message}" for message in images.unreadable[:SHOWN])
    if len(images.unreadable) > SHOWN:
        yield f"  … and {len(images.unreadable) - SHOWN:,} more"
    yield from (f"  {number:,} {kind}" for kind, number in images.kinds.items())
    yield from (f"problem: {problem}" for problem in report.problems)
    yield from (f"suspicious: {finding}" for finding in report.findings)
    yield from (f"note: {note}" for note in report.notes)
    yield ""
