"""A trained model outside training: exported, and as one function from images to features."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vireid.deploy.extractor import Extractor as Extractor


def __getattr__(name: str) -> object:
    """``Extractor`` is loaded when it is asked for: an exported model needs no torch."""
    if name != "Extractor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vireid.deploy.extractor import Extractor

    return Extractor
