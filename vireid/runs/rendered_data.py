"""Synthetic data sets that a training asks for: ``DATA.SYNTHETIC.*``."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.data.datasets import DATASETS
from vireid.errors import DataError, UsageError
from vireid.synthetic import RENDERER_VERSION
from vireid.synthetic.writers import LAYOUTS, write_set
from vireid.utils.commands import tool_command

RENDERED = re.compile(r"synthetic_[a-z]+_[0-9a-f]{10}")  # names that synthetic_root() makes


def synthetic_root(cfg: CfgNode, parent: Path = Path("datasets")) -> Path:
    """Folder of the synthetic set that these options describe.

    Its name holds a digest of everything that decides the content, so that changed options or a
    changed renderer never find an old set.
    """
    content = json.dumps([RENDERER_VERSION, _parameters(cfg)])
    digest = hashlib.sha256(content.encode()).hexdigest()
    return parent / f"synthetic_{cfg.DATA.DATASET}_{digest[:10]}"


def prepare_data(cfg: CfgNode) -> None:
    """Renders the synthetic set if the options ask for one and it does not exist yet.

    Raises:
        UsageError: this data set's layout cannot be rendered, or the sizes make no sense.
    """
    root, layout = Path(cfg.DATA.ROOT), cfg.DATA.DATASET
    if not _is_rendered(cfg) or root.is_dir():
        return
    if layout not in LAYOUTS:
        raise UsageError(
            f"DATA.SYNTHETIC cannot write the layout of {layout}; it can write {sorted(LAYOUTS)}"
        )
    try:
        write_set(layout, root, **_parameters(cfg), progress=True, workers=0)
    except ValueError as error:
        raise UsageError(f"DATA.SYNTHETIC: {error}") from error
    except OSError as error:
        if not root.is_dir():  # otherwise another run finished the same set first
            raise UsageError(f"cannot write the synthetic set {root}: {error}") from error


def require_rendered(cfg: CfgNode) -> None:
    """Raises ``DataError`` if a run's rendered images are gone: only training renders."""
    root = Path(cfg.DATA.ROOT)
    if not (cfg.DATA.SYNTHETIC.ENABLED and RENDERED.fullmatch(root.name)) or root.exists():
        return
    where = f"the images that were rendered for this run are not in {root}"
    if not _is_rendered(cfg):
        raise DataError(
            f"{where}, and this version of the renderer draws others: put the folder back, or "
            "name it in DATA.ROOT"
        )
    options = _parameters(cfg)
    words = ["--layout", cfg.DATA.DATASET, "--out", str(root.absolute())]
    for name, value in options.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    command = shlex.join([*tool_command("make_synthetic"), *words])
    raise DataError(f"{where}: put the folder back, or render it again with {command}")


def expected_identities(cfg: CfgNode) -> int | None:
    """Number of training identities, as rendered or published; None if only the files show it."""
    if cfg.DATA.SPLIT == "train" or cfg.DATA.AUXILIARY:
        return None
    if _is_rendered(cfg) and "test_share" not in DATASETS[cfg.DATA.DATASET].options:
        return cfg.DATA.SYNTHETIC.TRAIN_IDS
    return DATASETS[cfg.DATA.DATASET].published.get("training identities")


def _is_rendered(cfg: CfgNode) -> bool:
    """Whether ``DATA.ROOT`` is the synthetic set of these options, in whatever folder."""
    return cfg.DATA.SYNTHETIC.ENABLED and Path(cfg.DATA.ROOT).name == synthetic_root(cfg).name


def _parameters(cfg: CfgNode) -> dict[str, Any]:
    options = cfg.DATA.SYNTHETIC
    return {
        "train_ids": options.TRAIN_IDS,
        "test_ids": options.TEST_IDS,
        "images_per_camera": options.IMAGES_PER_CAMERA,
        "size": tuple(options.SIZE),
        "seed": options.SEED,
    }
