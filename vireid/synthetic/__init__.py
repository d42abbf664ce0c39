"""Renders pedestrians in three spectra, and vehicles, as data sets in the layouts of real ones."""

RENDERER_VERSION = 2  # raise it whenever the same seed gives other pixels
