"""Visible–infrared person re-identification with a lightweight two-stream OSNet."""

__version__ = "0.1.0"
