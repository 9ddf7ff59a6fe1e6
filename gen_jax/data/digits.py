"""scikit-learn's handwritten digits: 1,797 images of 8x8, part of the library, so no network is needed.

Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

import numpy as np

from gen_jax.data.source import Splits, hold_out, in_memory


def open_splits() -> Splits:
    """1,498 train and 299 test images, uint8 8x8x1 with values round(v * 255 / 16) for v in 0..16."""
    from sklearn.datasets import load_digits  # here, since it takes two seconds

    digits = load_digits()
    images = np.rint(digits.images * 255 / 16).astype(np.uint8)[..., None]
    names = [str(name) for name in digits.target_names]
    return hold_out(in_memory(images, {"label": digits.target.astype(np.int32)}, names), every=6)
