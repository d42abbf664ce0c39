"""Builds a gallery from your own images, changes it, and searches it across modalities."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import MODALITY_HELP, modality, parser, tool
from vireid.cli.search_threshold import ABOUT, EXAMPLE, threshold
from vireid.cli.search_threshold import add_arguments as add_threshold_arguments
from vireid.search.commands import add, build, index, query, remove

STEPS = {"build": build, "add": add, "remove": remove, "query": query, "index": index}
STEPS["threshold"] = threshold
EXAMPLES = {
    "build": "--run runs/demo/seed0 --images photos --modality visible --gallery people",
    "add": "--gallery people --images more.csv --modality visible",
    "remove": "--gallery people --images photos/a.jpg photos/monday",
    "query": "--gallery people --image night.png --modality infrared --top 10 --figure found.png",
    "index": "--gallery people --image nights --modality infrared --recall 0.95",
    "threshold": EXAMPLE,
}


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/search.py --help``."""
    args = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    STEPS[args.step](args)


def _parser() -> argparse.ArgumentParser:
    line = parser(__doc__, f"python tools/search.py build {EXAMPLES['build']}")
    steps = line.add_subparsers(dest="step", required=True, metavar="{" + ",".join(STEPS) + "}")
    made = {
        name: steps.add_parser(
            name,
            help=about,
            description=about,
            epilog=f"example: {line.prog} {name} {EXAMPLES[name]}",
            allow_abbrev=False,
        )
        for name, about in (
            ("build", "make a gallery from a folder or a CSV file; call it again to continue"),
            ("add", "add images to a gallery; call it again to continue"),
            ("remove", "remove images, or all images of a folder or a CSV file"),
            ("query", "find the gallery images most similar to an image, or to those of a folder"),
            ("index", "make the index for approximate search, and measure its recall"),
            ("threshold", ABOUT),
        )
    }
    add_threshold_arguments(made.pop("threshold"))
    for one in made.values():
        one.add_argument(
            "--gallery", type=Path, required=True, metavar="DIR", help="folder of the gallery"
        )
    for name in ("build", "add"):
        _add_images(made[name])
        _add_network(made[name], required=name == "build")
    about = "number format on disk (float32); float16 needs half of the space"
    made["build"].add_argument(
        "--store", choices=("float32", "float16"), default="float32", help=about
    )
    made["remove"].add_argument(
        "--images", nargs="+", required=True, metavar="PATH", help="images, folders, CSV files"
    )
    _add_query(made["query"])
    _add_index(made["index"])
    return line


def _add_images(line: argparse.ArgumentParser) -> None:
    line.add_argument(
        "--images",
        required=True,
        metavar="FOLDER|CSV",
        help="CSV columns: path, optional pid, camid",
    )
    about = f"modality of the images: {MODALITY_HELP}"
    line.add_argument("--modality", type=modality, metavar="NAME", required=True, help=about)


def _add_network(line: argparse.ArgumentParser, *, required: bool) -> None:
    source = line.add_mutually_exclusive_group(required=required)
    source.add_argument("--model", type=Path, metavar="PATH", help="exported file, or model folder")
    source.add_argument("--run", type=Path, metavar="DIR", help="run folder")
    if not required:
        source.description = "default: the model that built the gallery"
    about = (
        "for images of more than eight bits: the values that become black and white, or percentile "
        "(computed for each image); default: the model's"
    )
    line.add_argument("--range", nargs="+", metavar="LOW HIGH", help=about)
    line.add_argument("--backend", help="library that runs the model (default: chosen by its file)")
    line.add_argument(
        "--device", default="auto", help="with --run: auto, cpu, cuda or cuda:N (auto)"
    )
    line.add_argument("--threads", type=int, metavar="N", help="CPU threads (all)")
    line.add_argument("--batch", type=int, default=32, metavar="N", help="batch size (32)")


def _add_query(line: argparse.ArgumentParser) -> None:
    line.add_argument("--image", required=True, metavar="FILE|FOLDER", help="query image or images")
    about = f"modality of the queries: {MODALITY_HELP}"
    line.add_argument("--modality", type=modality, metavar="NAME", required=True, help=about)
    line.add_argument("--top", type=int, default=10, metavar="K", help="number of results (10)")
    line.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    line.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the results: .png, .jpg, .pdf or .svg"
    )
    line.add_argument(
        "--approximate",
        action="store_true",
        help="search by an index, made if it is missing (faiss)",
    )
    _add_network(line, required=False)


def _add_index(line: argparse.ArgumentParser) -> None:
    line.add_argument(
        "--recall", type=float, default=0.95, help="share of exact results to find (0.95)"
    )
    line.add_argument(
        "--top", type=int, default=10, metavar="K", help="results per query that count (10)"
    )
    line.add_argument(
        "--image", metavar="FOLDER", help="queries to measure with (default: gallery images)"
    )
    about = f"modality of --image: {MODALITY_HELP}"
    line.add_argument("--modality", type=modality, metavar="NAME", help=about)
    _add_network(line, required=False)
