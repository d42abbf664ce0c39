"""``visualize match``: regions that make a query and gallery images alike."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from yacs.config import CfgNode

from vireid.cli.arguments import LIST, ToolParser, add_options, at_least, modality, seed_number
from vireid.cli.visualize.files import read_images, require_modality
from vireid.cli.visualize.kinds import add_cells, kind_parser
from vireid.cli.visualize.ranks import add_protocol, search_run
from vireid.data.build import build_splits
from vireid.errors import DataError, UsageError
from vireid.evaluation.ranked_lists import GalleryRanking, RankedList
from vireid.figures.activations import record_label
from vireid.figures.map_files import require_maps
from vireid.figures.match_maps import (
    METHODS,
    MatchImages,
    Pairs,
    draw_match_maps,
    read_match_maps,
    require_library,
    run_match_maps,
    write_match_maps,
)
from vireid.figures.ranked_lists import choose_queries
from vireid.figures.style import require_figure
from vireid.models.build import STAGES
from vireid.runs.features import records_in, with_ranges
from vireid.runs.options import run_config
from vireid.runs.rendered_data import require_rendered
from vireid.structures import SPLITS, ImageRecord, Modality, Splits

COUNT, TOP = 2, 3  # queries drawn without names, and nearest images of each


def main(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py match --help``."""
    args = _parser().parse(arguments)
    require_figure(args.out, inputs=[args.run or args.maps, *map(Path, args.query + args.match)])
    if args.maps:
        if given := [*args.query, *args.match, *args.overrides]:
            raise UsageError(f"{' '.join(given)} goes with --run, not with --maps")
        draw_match_maps(read_match_maps(args.maps), args.out, cells=args.cells)
        print(f"wrote {args.out}")
        return
    maps = args.out.with_suffix(".npz")
    require_maps(maps, read_match_maps)
    require_library()
    cfg, images, pairs = _named_pairs(args) if args.match else _ranked_pairs(args)
    options = {"run": args.run, "stage": args.stage, "method": args.method}
    found = run_match_maps(cfg, images, pairs, **options)
    write_match_maps(maps, found)
    draw_match_maps(found, args.out, cells=args.cells)
    for number, similarity in enumerate(found.similarity.tolist()):
        query, match = images.paths[[pairs.query[number], pairs.match[number]]]
        title = f", {pairs.titles[number]}" if pairs.titles[number] else ""
        print(f"  {query} and {match}: similarity {similarity:.4f}{title}")
    print(
        f"wrote {args.out} and {maps}: {len(pairs.query)} pairs, {METHODS[found.method]} at ",
        end="",
    )
    print(found.stage)


def _named_pairs(args: argparse.Namespace) -> tuple[CfgNode, MatchImages, Pairs]:
    """The query and the images that it is compared with, from the data set or from any files."""
    if len(args.query) != 1:
        raise UsageError("--match needs one --query, which is compared with each of its images")
    cfg = run_config(args.run, args.overrides)
    given = {"query": args.query_modality, "match": args.match_modality}
    records, splits = [], None
    for side, names in {"query": args.query, "match": args.match}.items():
        kind = given[side]
        if kind is not None:
            require_modality(cfg, kind)
            records += [ImageRecord(str(Path(name)), -1, 0, kind) for name in names]
            continue
        splits = splits or _data_set(cfg, names, side)
        records += [_record(name, records_in(splits, args.split), side) for name in names]
    images = _images(cfg, records, splits)
    count = len(args.match)
    pairs = Pairs(np.zeros(count, np.int64), np.arange(1, count + 1), np.full(count, ""))
    return cfg, images, pairs


def _data_set(cfg: CfgNode, names: Sequence[str], side: str) -> Splits:
    try:
        require_rendered(cfg)
        return build_splits(cfg, parts=())
    except DataError:
        for name in names:
            _require_no_file(name, side)
        raise


def _require_no_file(name: str, side: str) -> None:
    """What is not in the data set may be meant as a file."""
    if Path(name).is_file():
        raise UsageError(
            f"{name} is not in the run's data set: say --{side}-modality visible or infrared to "
            "compare the file"
        )


def _record(name: str, records: Sequence[ImageRecord], side: str) -> ImageRecord:
    for record in records:
        if record.path == name:
            return record
    _require_no_file(name, side)
    raise DataError(
        f"there is no image {name!r} in the data set, and no such file: name it as the data set "
        f"does, such as {records[0].path}"
    )


def _images(cfg: CfgNode, records: Sequence[ImageRecord], splits: Splits | None) -> MatchImages:
    """The pixels of images of the data set, and of files, which have no camera."""
    known = [record for record in records if record.camid]
    if splits is not None:
        cfg = with_ranges(cfg, splits, known)
    pixels, labels = [], []
    for record in records:
        inside = splits if record.camid else None
        file = Path(record.path) if inside is None else inside.root / record.path
        pixels.append(read_images(cfg, [file], record.modality)[0])
        labels.append(file.name if inside is None else record_label(record, inside))
    return MatchImages(
        images=np.stack(pixels),
        paths=np.array([record.path for record in records]),
        labels=np.array(labels),
        modality=np.array([int(record.modality) for record in records], dtype=np.uint8),
    )


def _ranked_pairs(args: argparse.Namespace) -> tuple[CfgNode, MatchImages, Pairs]:
    """Queries of the run's protocol, with their nearest images."""
    if args.query_modality is not None or args.match_modality is not None:
        raise UsageError("--query-modality and --match-modality go with --match")
    found, splits = search_run(args)
    if args.top > len(found.gallery):
        raise UsageError(f"--top {args.top}: this gallery holds {len(found.gallery)} images")
    choice = {"names": args.query, "count": None if args.query else args.count, "seed": args.seed}
    records: list[ImageRecord] = []
    pairs: list[tuple[int, int, str]] = []
    for position in choose_queries(found, **choice):
        one = found.ranked_list(position)
        query = len(records)
        records.append(_record_of(found, one.query))
        for row, title in nearest(one, found, args.top):
            pairs.append((query, len(records), title))
            records.append(_record_of(found, row))
    cfg = run_config(args.run, args.overrides)
    queries, matches, titles = zip(*pairs, strict=True)
    images = _images(cfg, records, splits)
    return cfg, images, Pairs(np.array(queries), np.array(matches), np.array(titles))


def nearest(one: RankedList, found: GalleryRanking, top: int) -> list[tuple[int, str]]:
    """Rows and titles of the ``top`` nearest images, the first match and the first wrong image."""
    pids, ranks = found.features.pids, one.ranks()
    kept = np.flatnonzero(~one.removed)
    same = pids[one.gallery] == pids[one.query]
    chosen = [*kept[:top], *kept[same[kept]][:1], *kept[~same[kept]][:1]]
    return [
        (int(one.gallery[place]), f"{'✓' if same[place] else '✗'} rank {ranks[place]}")
        for place in sorted(set(chosen))
    ]


def _record_of(found: GalleryRanking, row: int) -> ImageRecord:
    images = found.features
    kind = Modality(int(images.modality[row]))
    return ImageRecord(str(images.paths[row]), int(images.pids[row]), int(images.camids[row]), kind)


def _parser() -> ToolParser:
    line = kind_parser(
        "match",
        "--run runs/demo/seed0 --top 1 --out match.png",
        "--run runs/demo/seed0 --query a.png --query-modality infrared --match b.jpg c.jpg "
        "--match-modality visible --out match.png",
        "--maps match.npz --out again.pdf",
    )
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="run or model folder")
    source.add_argument("--maps", type=Path, metavar="FILE", help="maps that an earlier call saved")
    about = (
        "paths below the data set's folder; without --match also identities; with it also a file"
    )
    line.add_argument("--query", "--queries", metavar="NAME", help=about, **LIST)
    about = "images compared with the query (default: the nearest of the run's protocol)"
    line.add_argument("--match", "--matches", metavar="NAME", help=about, **LIST)
    for side in ("query", "match"):
        about = f"--{side} names any image files of this modality: visible, infrared, …"
        line.add_argument(f"--{side}-modality", type=modality, metavar="NAME", help=about)
    about = f"nearest images, besides the first match and the first wrong one ({TOP})"
    line.add_argument("--top", type=at_least(0), default=TOP, help=about)
    line.add_argument(
        "--count", type=int, default=COUNT, help=f"random queries, without --query ({COUNT})"
    )
    line.add_argument("--seed", type=seed_number, default=0, help="seed of that choice (0)")
    add_protocol(line)
    line.add_argument(
        "--split", choices=SPLITS, default="test", help="with --match: which images (test)"
    )
    line.add_argument(
        "--stage", choices=STAGES, default="", help="stage of the maps (the exit's last)"
    )
    line.add_argument("--method", choices=tuple(METHODS), default="hirescam", help="(hirescam)")
    add_cells(line)
    add_options(line)
    return line
