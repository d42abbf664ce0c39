"""Vectors as whole numbers of eight bits, with what is needed to bound the error of a product.

A product of codes costs a quarter of the memory traffic and, where processors multiply bytes, far
less time than one of float32. By the triangle and Cauchy-Schwarz inequalities it is off by at most

    |x · q - x' · q'|  <=  |x - x'| |q|  +  |x'| |q - q'|

where x' and q' are what the codes stand for. The norms are known, so candidates are found by codes
and nothing that could belong to the result is ever left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST = 127
BLOCK = 1024  # rows at once: what they need fits a processor's cache
SCALE, ERROR, LENGTH = range(3)  # columns of the bounds
ROUNDING = 2.0**-21  # of the float32 operations that make a product of codes a similarity


def encode(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) floats → (N, D) int8 codes, (N, 3) float32 bounds.

    The columns of the bounds: what a code is to be multiplied by; the length of the difference to
    the vector; the length of what the codes stand for. Lengths are rounded up.
    """
    codes = np.empty(vectors.shape, dtype=np.int8)
    bounds = np.empty((len(vectors), 3), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        part = slice(start, start + BLOCK)
        exact = vectors[part].astype(np.float64)
        scale = (np.abs(exact).max(axis=1, initial=0) / LARGEST).astype(np.float32)
        scale[scale < np.finfo(np.float32).tiny] = 1
        coded = np.rint(exact / scale[:, None].astype(np.float64)).clip(-LARGEST, LARGEST)
        codes[part], bounds[part, SCALE] = coded, scale
        coded *= scale[:, None].astype(np.float64)
        bounds[part, LENGTH] = _upper(np.linalg.norm(coded, axis=1))
        bounds[part, ERROR] = _upper(np.linalg.norm(exact - coded, axis=1))
    return codes, bounds


def _upper(lengths: np.ndarray) -> np.ndarray:
    return np.nextafter(lengths.astype(np.float32), np.float32(np.inf))


@dataclass(frozen=True)
class Queries:
    """(Q, D) queries in every form that a search needs.

    Attributes:
        single, double: float32 and float64.
        length: (Q,) float64.
        codes, bounds: as ``encode`` makes them.
    """

    single: np.ndarray
    double: np.ndarray
    length: np.ndarray
    codes: np.ndarray
    bounds: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray) -> Queries:
        single = np.ascontiguousarray(vectors, dtype=np.float32)
        double = single.astype(np.float64)
        return cls(single, double, np.linalg.norm(double, axis=1), *encode(single))

    def code_error(self, bounds: np.ndarray) -> np.ndarray:
        """(Q,) how far off any product with rows of these (n, 3) bounds can be."""
        error, length = bounds[:, ERROR].max().item(), bounds[:, LENGTH].max().item()
        rounding = ROUNDING * length * (self.length + self.bounds[:, ERROR])
        return self.length * error + self.bounds[:, ERROR].astype(np.float64) * length + rounding

    def single_error(self, bounds: np.ndarray) -> np.ndarray:
        """(Q,) how far off a float32 product can be, in whatever order it is summed up.

        Source: Higham, Accuracy and Stability of Numerical Algorithms, 2002, §3.1: n u / (1 - n u).
        """
        steps = (self.single.shape[1] + 1) * 2.0**-24
        length = (bounds[:, ERROR] + bounds[:, LENGTH]).max().item()
        return self.length * length * steps / (1 - steps)
