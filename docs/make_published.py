"""Writes docs/published.md from vireid/reports/published.csv.

python docs/make_published.py            writes the page
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.reports.published import EQUAL, UNKNOWN, PublishedResult, read_published, whole_set

PAGE = Path(__file__).resolve().parents[1] / "docs/published.md"
INTRODUCTION = """\
# Numbers in print

This page lists published results, with the rules by which each was measured, as far as they are
known. Use it when you fill a comparison table. `python docs/make_published.py` writes the page
from `vireid/reports/published.csv`; do not edit it by hand.

No number on this page was measured here. A number is listed only if it was read in the source
that its row names, so many methods and some values are missing. A few were read as quotations,
and say so.

## Put them beside your own

```bash
python tools/table.py runs/sysu --with published
python tools/table.py runs/sysu --with published --format latex
```

- The first table is the usual one, and adds the rules of every row. The second table has the
  printed results of the same protocols.
- Measured and printed numbers are never averaged. In CSV they have different columns: `mAP_mean`
  is empty in a printed row, and `printed_mAP` in a measured one.
- `equal rules` is `yes` if nothing is known that differs, `no` if something differs, and `not
  known` if the evaluation code was not read. `rules` says what differs or what is not known.
- The comparison takes your runs into account. With the official draw of SYSU-MM01, rows of the
  seeded draw are marked `no`. If your results have fewer queries than the whole data set, as on a
  rendered or reduced set, all rows are marked `no`: such scores do not compare with printed ones.

## What goes wrong in comparison tables

**Two galleries of SYSU-MM01.** The official galleries (`rand_perm_cam.mat`) and the seeded ones
of AGW's code have the same size and different images. The means over ten trials differ by a few
tenths of a point. Single trials differ by more than one point, so a difference of one point
between two papers can come from the gallery alone.

**LLCM's column VIS → IR.** Two questions are printed under this name, see
[Protocols](protocols.md#llcm-direction-of-a-printed-number). LLCM's README belongs to
`llcm_n2v_multi`: infrared queries in a gallery of all visible images. DEEN's paper has 62.5 /
65.8 in this column (rank-1 / mAP), and the README has 69.2 / 55.5. There are two explanations.
The test script exchanges queries and gallery after the gallery was drawn (issue 35 of
`ZYK100/LLCM`). The author explains the rise by adjustments to the data set (issue 28). The fall
of mAP by ten points agrees with the exchange.

**AT-ReID's names.** Its code has `llcm_v2i` and `regdb_v2i`, and both take *infrared* queries.
Here the first letter is the modality of the query.

**RegDB's ten trials.** Each of the ten splits needs its own network. A number can be the mean of
the ten, one split (split 1 in the code of MPANet and IDKL, split 10 in SAAI's), or one network on
ten splits, which has seen test identities. Most READMEs do not say which.

**RegDB's CMC.** The code of MPANet, IDKL and SAAI counts identities, the code in the manner of
AGW counts images. Rank-1 is the same, rank-5 to rank-20 are higher in identities.

**Re-ranking.** It uses all queries together, so its scores answer another question. IDKL, MCJA
and SAAI use it by default, and a table often does not say so. For CEIL the same model has 68.2
without and 86.8 with it. BUPTCampus' AuxNet has re-ranking as its last step.

**Constants of re-ranking.** k-reciprocal encoding has k1, k2 and λ. The original values are 20, 6
and 0.3. YYDS prints 40, 35 and 0.1 for SYSU-MM01, 15, 5 and 0.3 for RegDB, and 25, 10 and 0.3 for
LLCM (its README names SYSU-MM01 twice), as the best ones of each test set. Constants that were
chosen by test scores raise the number.

**Queries with a text.** YYDS adds to each query a text that names colours. Its rows have the
names of the usual protocols, but answer another question. Its baseline, without the text,
compares.

**The epoch.** AGW, CAJ, DEEN, HcTri, MMN, MPANet, PMT, SAAI, SGIEL, RLE, DNS and DART keep the
epoch with the best *test* score. LbA keeps the last epoch. Such a choice can only raise a number.

**One name, two recipes.** AGW has 47.5 on SYSU-MM01 in its README, and 67.1 in the README of PMT
(AGW\\*, other losses and random erasing). Check which one a paper cites.

**Test-time flip, features, resolution.** A flip (DEEN, HOS-Net, RLE, DNS), a sum of several
features (DEEN, MMN) and a larger input raise scores. They are no rules of a protocol, so they do
not change `equal rules`; the rows name them where they are known.

**Tracks.** M3-ReID scores 6 evenly spaced frames of each track and leaves out tracks of fewer
than 12 frames, as this project does. Other code may use all frames or all tracks.

**ORBench.** ReID5o's numbers changed with a correction of its code in January 2026. The row below
is the new one. ORBench thanks SYSU-MM01 and LLCM. It is not known whether it shares images with
them, so do not call it held out from these.

**Corruptions.** The published code draws the kind and the severity without a seed, and scores
SYSU-MM01 on its first gallery only. Here the draw is a function of seed and path, and all ten
galleries count.

## Results

- The link of a row leads to the source in which the number was read. "Quoted" means that it was not
  read in its first source.
- **draw** is the gallery draw: official, seeded, all images, or unseeded.
- **equal rules** compares with the protocol of the heading and the draw of the row.
- R1, mAP and mINP are per cent, as printed.
"""
HEADER = "method, year (read in) · R1 · mAP · mINP · draw · equal rules · remarks".split(" · ")


def page() -> str:
    """The page's text."""
    groups: dict[str, list[PublishedResult]] = {}
    for result in read_published():
        groups.setdefault(result.protocol, []).append(result)
    sections = [_section(protocol, results) for protocol, results in groups.items()]
    return "\n".join([INTRODUCTION, *sections])


def _section(protocol: str, results: Sequence[PublishedResult]) -> str:
    """A heading, a sentence and a table."""
    title = f"### {protocol or 'Direction not stated'}\n"
    lines = [title, f"{_what(protocol, results)}\n", f"| {' | '.join(HEADER)} |"]
    lines.append("|" + "---|" * len(HEADER))
    for result in results:
        remarks = [result.rules] if protocol else [result.dataset, result.rules]
        lines.append(f"| {' | '.join(_cells(result, '; '.join(filter(None, remarks))))} |")
    return "\n".join([*lines, ""])


def _what(protocol: str, results: Sequence[PublishedResult]) -> str:
    """The data set, its queries, and the words of the sources."""
    if not protocol:
        return "The sources do not say which modality the queries have."
    whole = whole_set(protocol)
    queries = f", {whole:,} queries" if whole else ""
    words = " or ".join(f'"{word}"' for word in dict.fromkeys(r.printed for r in results))
    return f"{results[0].dataset}{queries}. Printed as {words}."


def _cells(result: PublishedResult, remarks: str) -> list[str]:
    scores = [value or "–" for value in (result.rank1, result.mAP, result.mINP)]
    draw = EQUAL[UNKNOWN] if result.draw == UNKNOWN else result.draw
    year = f", {result.year}" if result.year else ""
    name = result.method.replace("*", "\\*") + year
    source = f"([{result.source}]({result.address}))"
    remarks = remarks.replace("*", "\\*") or "–"
    return [f"{name} {source}", *scores, draw, EQUAL[result.fits], remarks]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
