"""The options of the search tool's steps."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from vireid.cli.arguments import MODALITY_HELP, modality, parser
from vireid.cli.search.threshold import ABOUT, EXAMPLE, add_arguments


@dataclass(frozen=True, slots=True)
class Step:
    """
    Args:
        module: of this package that has a function of the step's name.
    """

    module: str
    about: str
    example: str


STEPS = {
    "build": Step(
        "fill",
        "make a gallery from a folder or a CSV file; call it again to continue",
        "--run runs/demo/seed0 --images photos --modality visible --gallery people",
    ),
    "add": Step(
        "fill",
        "add images to a gallery; call it again to continue",
        "--gallery people --images more.csv --modality visible",
    ),
    "update": Step(
        "fill",
        "compute features and columns of images again that have changed",
        "--gallery people --images photos --modality visible",
    ),
    "remove": Step(
        "manage",
        "remove images, all images of a folder or a CSV file, or those that a filter finds",
        "--gallery people --images photos/a.jpg photos/monday",
    ),
    "query": Step(
        "find",
        "find the gallery images most similar to an image, or to each image of a folder",
        "--gallery people --image night.png --modality infrared --top 10 --figure found.png",
    ),
    "index": Step(
        "find",
        "make the index for approximate search, and measure its recall",
        "--gallery people --image nights --modality infrared --recall 0.99",
    ),
    "threshold": Step("threshold", ABOUT, EXAMPLE),
    "info": Step("manage", "what a gallery holds, and its versions", "--gallery people"),
    "restore": Step(
        "manage", "make an earlier version the present one", "--gallery people --version 12"
    ),
    "relocate": Step(
        "manage",
        "change where images are, after they were moved",
        "--gallery people /old/photos /new/photos",
    ),
}
PLACE = "folder of the gallery, or its address on object storage, such as s3://bucket/people"


def search_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    line = parser(
        "Builds a gallery from your own images, changes it, and searches it across modalities.",
        f"python tools/search.py build {STEPS['build'].example}",
    )
    steps = line.add_subparsers(dest="step", required=True, metavar="{" + ",".join(STEPS) + "}")
    made = {
        name: steps.add_parser(
            name,
            help=step.about,
            description=step.about,
            epilog=f"example: {line.prog} {name} {step.example}",
            allow_abbrev=False,
        )
        for name, step in STEPS.items()
    }
    add_arguments(made.pop("threshold"))
    for one in made.values():
        one.add_argument("--gallery", required=True, metavar="PLACE", help=PLACE)
    for name in ("build", "add", "update"):
        _add_images(made[name])
        if name != "update":
            _add_detect(made[name])
        _add_model(made[name], required=name == "build")
    _add_remove(made["remove"])
    _add_query(made["query"])
    _add_index(made["index"])
    made["restore"].add_argument("--version", type=int, required=True, metavar="N", help="see info")
    made["relocate"].add_argument("old", help="folder or image where they were")
    made["relocate"].add_argument("new", help="where they are")
    return line


def _add_images(line: argparse.ArgumentParser) -> None:
    line.add_argument(
        "--images",
        required=True,
        metavar="FOLDER|CSV",
        help="CSV columns: path, optional pid, camid, time, modality and any others",
    )
    about = f"modality of the images: {MODALITY_HELP}"
    line.add_argument("--modality", type=modality, metavar="NAME", required=True, help=about)
    line.add_argument(
        "--skipped", type=Path, metavar="FILE", help="write a CSV file of the skipped images"
    )


def _add_detect(line: argparse.ArgumentParser) -> None:
    line.add_argument(
        "--detect",
        action="store_true",
        help="find the persons in whole photos first, by torchvision's detector",
    )


def _add_model(line: argparse.ArgumentParser, *, required: bool) -> None:
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
    line.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    line.add_argument("--threads", type=int, metavar="N", help="CPU threads (all)")
    line.add_argument("--batch", type=int, default=32, metavar="N", help="batch size (32)")


def _add_remove(line: argparse.ArgumentParser) -> None:
    which = line.add_mutually_exclusive_group(required=True)
    about = "images, folders, CSV files"
    which.add_argument("--images", nargs="+", metavar="PATH", help=about)
    which.add_argument("--where", metavar="SQL", help="such as \"camid = '3'\"")


def _add_query(line: argparse.ArgumentParser) -> None:
    line.add_argument("--image", required=True, metavar="FILE|FOLDER", help="query image or images")
    about = f"modality of the queries: {MODALITY_HELP}"
    line.add_argument("--modality", type=modality, metavar="NAME", required=True, help=about)
    line.add_argument("--top", type=int, default=10, metavar="K", help="number of results (10)")
    line.add_argument(
        "--where",
        default="",
        metavar="SQL",
        help="only images that fit, such as \"camid = '3' AND time > '2026-11-01'\"",
    )
    line.add_argument(
        "--exclude-same-camera", action="store_true", help="leave out images of the query's camera"
    )
    line.add_argument("--camera", metavar="NAME", help="camera of the queries, where no CSV has it")
    line.add_argument("--min-score", type=float, metavar="S", help="least cosine of a result")
    line.add_argument(
        "--by",
        choices=("image", "identity"),
        default="image",
        help="identity: each identity once, by its most similar image (image)",
    )
    line.add_argument(
        "--fuse", action="store_true", help="take all query images as one person: mean feature"
    )
    line.add_argument(
        "--rerank", action="store_true", help="order the first 100 by k-reciprocal re-ranking"
    )
    line.add_argument(
        "--include-self", action="store_true", help="a query in the gallery may find itself"
    )
    _add_method(line)
    _add_detect(line)
    _add_model(line, required=False)


def _add_method(line: argparse.ArgumentParser) -> None:
    """Exact or approximate search, and where its results go."""
    method = line.add_mutually_exclusive_group()
    about = "compare all vectors (default below 50,000 images)"
    method.add_argument("--exact", action="store_true", help=about)
    about = "search by the index, which is made if it is missing (default from 50,000 images)"
    method.add_argument("--approximate", action="store_true", help=about)
    line.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    line.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the results: .png, .jpg, .pdf or .svg"
    )


def _add_index(line: argparse.ArgumentParser) -> None:
    line.add_argument(
        "--recall", type=float, default=0.99, help="share of exact results to find (0.99)"
    )
    line.add_argument(
        "--top", type=int, default=10, metavar="K", help="results per query that count (10)"
    )
    line.add_argument(
        "--image", metavar="FOLDER", help="queries to measure with (default: gallery images)"
    )
    about = f"modality of --image: {MODALITY_HELP}"
    line.add_argument("--modality", type=modality, metavar="NAME", help=about)
    line.set_defaults(camera=None)
    _add_detect(line)
    _add_model(line, required=False)
