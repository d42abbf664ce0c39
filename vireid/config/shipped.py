"""The config files that come with the project, for whoever works outside its repository."""

from pathlib import Path

FOLDER = "configs"
PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder() -> Path:
    """``configs/``: inside the package once that was built, beside it in the repository."""
    built = PACKAGE / FOLDER
    return built if built.is_dir() else PACKAGE.parent / FOLDER


def find_config(path: Path) -> Path:
    """``path``, or the shipped file of that name where there is no such file.

    Args:
        path: as the user named it; ``configs/demo.yaml`` may be a shipped one, other folders and
            absolute paths are only themselves.
    """
    if path.parts[:1] != (FOLDER,) or ".." in path.parts or exists(path):
        return path
    shipped = shipped_folder().joinpath(*path.parts[1:])
    return shipped if exists(shipped) else path


def exists(path: Path) -> bool:
    """Whether something is there, or may be: whoever reads it is told why it cannot be read."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return True
