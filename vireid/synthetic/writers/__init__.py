"""Writes synthetic sets to disk exactly as the real data sets are laid out there.

A layout describes names and lists (``Layout``); ``write_set`` renders and writes any of them.
"""

from vireid.synthetic.writers.pictures import Shot, Studio, person_of
from vireid.synthetic.writers.write import LAYOUTS, write_set

__all__ = ["LAYOUTS", "Shot", "Studio", "person_of", "write_set"]
