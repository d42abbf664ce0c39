"""A gallery of a user's own images, searched across modalities."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vireid.search.gallery import Gallery as Gallery


def __getattr__(name: str) -> object:
    """``Gallery`` is loaded when it is asked for."""
    if name != "Gallery":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vireid.search.gallery import Gallery

    return Gallery
