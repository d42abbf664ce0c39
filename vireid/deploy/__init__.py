"""Trained networks at work: exported, and as one function of images."""

from vireid.deploy.extractor import Extractor as Extractor
