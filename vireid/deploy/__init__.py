"""Trained networks at work: exported, as one function of images, searching galleries of them."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vireid.deploy.extractor import Extractor as Extractor
    from vireid.deploy.gallery import Gallery as Gallery

_WHERE = {"Extractor": "extractor", "Gallery": "gallery"}


def __getattr__(name: str) -> object:
    """Each is loaded when it is asked for: exported networks need no torch, galleries do."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
