"""Procedural pedestrians in three spectra, in real data sets' on-disk layouts."""
