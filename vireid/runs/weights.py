"""The file that ``MODEL.PRETRAINED`` means where it names a run."""

from __future__ import annotations

from pathlib import Path

from vireid.config.load import load_config
from vireid.engine.checkpoint import BEST, LAST
from vireid.errors import UsageError
from vireid.runs.options import require_run
from vireid.utils.paths import expand, is_model_folder

KEYWORDS = ("imagenet", "none")


def selected_checkpoint(run: Path) -> Path:
    """The checkpoint that is a run folder's result, by ``SOLVER.SELECT`` of the run.

    Raises:
        CheckpointError: the folder holds no run.
    """
    require_run(run)
    best = load_config(run / "config.yaml", environment={}).SOLVER.SELECT == "best"
    return run / (BEST if best else LAST)


def weights_file(source: str) -> Path | None:
    """The file that a new model starts from; None where ``source`` is no path.

    Args:
        source: as ``MODEL.PRETRAINED``: a keyword, a file, a run folder, or the folder of an
            exported model.
    Raises:
        CheckpointError: it is a folder of something else.
    """
    path = expand(source)
    if source in KEYWORDS:
        return None
    if not path.is_dir() or is_model_folder(path):
        return path
    return selected_checkpoint(path)


def require_kept(weights: Path | None, folder: Path) -> None:
    """Raises :class:`UsageError` if a new run would overwrite the weights that it starts from."""
    if weights is not None and weights.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"OUTPUT_DIR {folder} holds the weights that MODEL.PRETRAINED names ({weights}), which "
            "the new run would replace: name another OUTPUT_DIR"
        )
