"""scikit-learn's handwritten digits: 1,797 images of 8x8, part of the library, so no network is needed.

Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

import importlib.util
from pathlib import Path

import numpy as np

from gen_jax.data.source import Splits, hold_out, in_memory


def open_splits() -> Splits:
    """1,498 train and 299 test images, uint8 8x8x1 with values round(v * 255 / 16) for v in 0..16.

    The table is read from the installed package without importing it, which would take four seconds of every start: 64
    grey levels and the class a row.
    """
    table = Path(importlib.util.find_spec("sklearn").origin).parent / "datasets/data/digits.csv.gz"
    rows = np.loadtxt(table, delimiter=",")
    images = np.rint(rows[:, :-1].reshape(-1, 8, 8, 1) * 255 / 16).astype(np.uint8)
    names = [str(digit) for digit in range(10)]
    return hold_out(in_memory(images, {"label": rows[:, -1].astype(np.int32)}, names), every=6)
