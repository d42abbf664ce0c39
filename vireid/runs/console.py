"""What a training prints: the block at its start, a table with a row per epoch, the time left."""

from __future__ import annotations

import logging
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from yacs.config import CfgNode

from vireid.data.verify import one_sided
from vireid.engine.trainer import TIMING, Trainer
from vireid.structures import ImageRecord, Splits

log = logging.getLogger(__name__)

WIDTH = 100  # columns of a line at most
NARROW = 80  # columns of the tables: the usual terminal
INDENT = 10  # columns of the titles in the block at the start
REPEAT = 20  # epochs between two heads of the table
# The metric loss that the table shows is the first of these that the criterion has.
METRIC_TERMS = {
    "triplet": "triplet",
    "weighted_triplet": "triplet",
    "hetero_center": "triplet",
    "circle": "circle",
    "center_cluster": "centre",
    "distill_kl": "distill",
    "distill_feature": "distill",
    "distill_relation": "distill",
}
SCORES = {
    "rank1": "rank-1",
    "rank5": "rank-5",
    "rank10": "rank-10",
    "rank20": "rank-20",
    "mAP": "mAP",
    "mINP": "mINP",
}
NOT_TERMS = {"epoch", "steps", "lr", *TIMING}


def log_entry(title: str, text: str) -> None:
    """Logs ``title`` and, beside it, ``text``, which continues on lines indented as far."""
    log.info("%s%s", title.ljust(INDENT), text, extra={"indent": INDENT})


def wrapped(text: str, width: int = WIDTH, indent: int | None = None) -> str:
    """The text with its long lines broken at blanks.

    Args:
        indent: of the lines that continue one; None: two columns, and tables and indented lines,
            which may be commands, stay whole.

    >>> wrapped("one two three", 8)
    'one two\\n  three'
    """
    lines = []
    for line in text.split("\n"):
        whole = len(line) <= width or (indent is None and line.startswith((" ", "|")))
        margin = " " * (2 if indent is None else indent)
        lines += [line] if whole else _broken(line, width, margin)
    return "\n".join(lines)


def _broken(line: str, width: int, margin: str) -> list[str]:
    """Paths and other long words stay whole."""
    start = len(line) - len(line.lstrip())
    return textwrap.wrap(
        line[start:],
        width,
        initial_indent=line[:start],
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def short_time(seconds: float) -> str:
    """Two units, in at most six characters.

    >>> [short_time(s) for s in (7.6, 754, 11_045, 363_600)]
    ['8s', '12m34s', '3h04m', '4d05h']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    days = whole // 86_400
    return f"{days}d{whole % 86_400 // 3600:02d}h" if days < 100 else f"{days}d"


def short_number(value: float) -> str:
    """About four digits, in at most six characters.

    >>> [short_number(v) for v in (0.00042, 9.87654, 98.7654, 9876.54, 98765.4)]
    ['0.000', '9.877', '98.765', '9876.5', '9.9e4']
    """
    for bound, digits in ((99.9995, 3), (999.995, 2), (9999.95, 1)):
        if abs(value) < bound:
            return f"{value:.{digits}f}"
    return short_power(value)


def short_power(value: float) -> str:
    """Two digits and a power of ten.

    >>> short_power(3.5e-4)
    '3.5e-4'
    """
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}e{int(power)}" if power else digits  # nan and inf have none


def percent(share: float) -> str:
    """A share in per cent, in at most five characters.

    >>> percent(0.4567), percent(0.9999)
    ('45.7%', '100%')
    """
    return f"{100 * share:.1f}%" if share < 0.9995 else f"{100 * share:.0f}%"


def log_start(cfg: CfgNode, splits: Splits, trainer: Trainer, *, origin: str) -> None:
    """Logs what is trained, on what and how.

    Args:
        origin: where the weights come from.
    """
    data = f"{cfg.DATA.DATASET}: {_counted(splits.train)} train"
    log_entry("data", data + (f", {_counted(splits.val)} validate" if splits.val else ""))
    for line in one_sided(splits.train, splits.identities):
        log_entry("", f"of these, {line}")
    for line in splits.notes:
        log_entry("", line)
    log_entry("model", f"{origin}; {cfg.MODEL.SHARED_DEPTH} of 5 stages shared by both streams")
    several = f", {trainer.world.size} processes" if trainer.world.size > 1 else ""
    grouped = f" of {trainer.accumulate} batches" if trainer.accumulate > 1 else ""
    asked, used = cfg.SAMPLER.IDENTITIES, trainer.sampler.identities
    log_entry(
        "training",
        f"{cfg.SOLVER.EPOCHS} epochs of {trainer.steps} steps{grouped}; batches of "
        f"{used} identities × {_views(cfg, splits)} of each modality; "
        f"{trainer.device}, {trainer.precision.name}{several}",
    )
    if used < asked:
        log.warning(
            "SAMPLER.IDENTITIES %d: the training set has %d identities, so that a batch has %d%s",
            asked,
            len(splits.train_pids),
            used,
            several and ", which the processes can share",
        )


def _views(cfg: CfgNode, splits: Splits) -> str:
    """What a batch has of an identity and a modality."""
    if not splits.train[0].frames:
        return f"{cfg.SAMPLER.IMAGES} images"
    frames = "1 frame" if cfg.SAMPLER.FRAMES == 1 else f"{cfg.SAMPLER.FRAMES} frames"
    return f"{cfg.SAMPLER.IMAGES} tracks ({frames} of each)"


def _counted(records: Sequence[ImageRecord]) -> str:
    identities = f"{len({record.pid for record in records})} identities"
    frames = sum(len(record.frames) for record in records)
    if not frames:
        return f"{len(records)} images of {identities}"
    return f"{len(records)} tracks ({frames:,} frames) of {identities}"


class TimeLeft:
    """Time that the rest of a training takes, by its latest epochs and its latest validation.

    Args:
        epochs: of the whole training.
        validate_every: epochs between validations; 0: none.
        clock: seconds from any start.
    """

    LATEST = 10  # epochs that count

    def __init__(
        self, epochs: int, validate_every: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._epochs, self._validate_every, self._clock = epochs, validate_every, clock
        self._last = clock()
        self._seconds: deque[float] = deque(maxlen=self.LATEST)
        self._validation = 0.0

    def end_epoch(self, epoch: int, *, share: float = 1.0, validation: float = 0.0) -> float:
        """Counts an epoch with everything since the one before, and returns the seconds left.

        Args:
            epoch: that has ended, from 1.
            share: of its steps that this program took.
            validation: seconds of its validation; 0: there was none.
        """
        now = self._clock()
        if share:  # 0: it was stopped after the last step, and continued
            self._seconds.append((now - self._last - validation) / share)
        self._last = now
        self._validation = validation or self._validation
        seconds = sum(self._seconds) / max(len(self._seconds), 1) * (self._epochs - epoch)
        if self._validate_every:
            ahead = self._epochs // self._validate_every - epoch // self._validate_every
            seconds += ahead * self._validation
        return seconds


class EpochTable:
    """Rows of at most 80 columns, and all the terms below them where they are asked for.

    Args:
        epochs: of the whole training.
        terms: names of the criterion's terms.
        validates: whether there are columns for validation scores.
        verbose: print every term under its epoch's row.
    """

    def __init__(
        self, epochs: int, terms: Iterable[str], *, validates: bool, verbose: bool = False
    ) -> None:
        self._epochs, self._validates, self._verbose = epochs, validates, verbose
        names = set(terms)
        self._losses = {"loss": "loss"}
        if "identity" in names:
            self._losses["identity"] = "loss_identity"
        for name, title in METRIC_TERMS.items():
            if name in names:
                self._losses[title] = f"loss_{name}"
                break
        self._rows = 0

    def lines(self, row: Mapping[str, float], *, speed: float, left: float) -> list[str]:
        """The table's next row, with its head where one is due.

        Args:
            row: of metrics.csv.
            speed: images of the global batches per second.
            left: seconds.
        """
        cells = self._cells(row, speed, left)
        digits = len(str(self._epochs))
        label = f"epoch {row['epoch']:{digits}.0f}/{self._epochs}"
        lines = []
        if self._rows % REPEAT == 0:
            lines += [""] if self._rows == 0 else []
            lines.append(_line(" " * len(label), {title: title for title in cells}))
        self._rows += 1
        lines.append(_line(label, cells))
        return lines + (self._all_terms(row) if self._verbose else [])

    def _cells(self, row: Mapping[str, float], speed: float, left: float) -> dict[str, str]:
        """Titles and texts of a row's columns."""
        cells = {title: short_number(row[name]) for title, name in self._losses.items()}
        cells["acc"] = percent(row["accuracy"])
        cells["lr"] = short_power(row["lr"])
        cells["img/s"] = f"{speed:.0f}" if speed < 99_999.5 else f"{speed / 1000:.0f}k"
        cells["left"] = short_time(left)
        if self._validates:
            for title, metric in (("val mAP", "mAP"), ("rank-1", "rank1")):
                own = [v for n, v in row.items() if n.startswith("val_") and n.endswith(metric)]
                cells[title] = percent(sum(own) / len(own)) if own else "-"
        return cells

    def _all_terms(self, row: Mapping[str, float]) -> list[str]:
        text = "  ".join(
            f"{name.removeprefix('loss_')}\u00a0{value:.4f}"
            for name, value in row.items()
            if name not in NOT_TERMS
        )
        indent = "    "
        lines = textwrap.wrap(text, NARROW, initial_indent=indent, subsequent_indent=indent)
        return [line.replace("\u00a0", " ") for line in lines]


def _line(label: str, cells: Mapping[str, str]) -> str:
    """A row of the table: cells by title, each as wide as the longest text that it may hold."""
    texts = [cell.rjust(max(len(title), _LONGEST.get(title, 6))) for title, cell in cells.items()]
    return " ".join([label, *texts])


_LONGEST = {"acc": 5, "img/s": 5, "val mAP": 5, "rank-1": 5}


def score_lines(protocols: Mapping[str, Mapping[str, Any]], epoch: int) -> list[str]:
    """Entries of results.json by protocol as a table of at most 80 columns, in per cent."""
    title = f"scores of epoch {epoch}, per cent"
    longest = max(len(name) for name in (title, *protocols))
    lines = [title.ljust(longest) + "".join(f"{name:>8}" for name in SCORES.values())]
    for protocol, one in protocols.items():
        kinds = {protocol: "mean"}
        if len(one["trials"]) > 1:
            kinds[f"  ± over {len(one['trials'])} trials"] = "std"
        for label, kind in kinds.items():
            cells = [f"{100 * one[kind][name]:8.2f}" for name in SCORES]
            lines.append(label.ljust(longest) + "".join(cells))
    return lines


class EpochLog:
    """Logs the row of every epoch of a training.

    Args:
        trainer: at its first step of this program.
        validate_every: ``SOLVER.VAL_EVERY``.
        verbose: also log every term.
    """

    def __init__(self, trainer: Trainer, *, validate_every: int, verbose: bool) -> None:
        self._trainer = trainer
        self._first_step = trainer.progress.step
        epochs = trainer.schedule.epochs
        self._left = TimeLeft(epochs, validate_every)
        self._table = EpochTable(
            epochs, trainer.criterion.weights, validates=validate_every > 0, verbose=verbose
        )

    def end_epoch(self, *, validation: float) -> None:
        """Logs the latest epoch.

        Args:
            validation: seconds that its validation took; 0: there was none.
        """
        row, steps = self._trainer.progress.history[-1], self._trainer.steps
        left = self._left.end_epoch(
            int(row["epoch"]), share=1 - self._first_step / steps, validation=validation
        )
        self._first_step = 0
        for line in self._table.lines(row, speed=self._trainer.speed, left=left):
            log.info("%s", line)
