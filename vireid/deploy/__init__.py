"""A trained network at work: exported, run by other libraries, searching galleries.

``from vireid.deploy import Gallery`` loads only what it needs.
"""

from importlib import import_module

_WHERE = {"Gallery": "gallery", "Extractor": "extractor"}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
