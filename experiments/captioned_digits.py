"""Scikit-learn's digits as a folder of images with captions, "a bold seven": what a model of text is tried on.

    uv run --with scikit-learn python experiments/captioned_digits.py FOLDER
    uv run gen-jax train --config=vae_digits --config.data.name=folder --config.data.path=FOLDER \\
        --config.model.condition=text

Each image stands in the folder of its class, its caption in a text file beside it. The word before the digit says how
much of the ink of all images of its class it has: "a faint ..." the lighter half of them, "a bold ..." the darker half.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gen_jax import data

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def main(folder: Path):
    digits = data.make(name="digits", batch_size=1)
    examples = digits.gather(np.arange(digits.spec.size))
    images, labels = examples["image"], examples["condition"]["label"]
    ink = images.sum((1, 2, 3), dtype=np.int64)
    median = {digit: np.median(ink[labels == digit]) for digit in range(10)}
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / NAMES[label] / f"{i:04}"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place.with_suffix(".png"))
        place.with_suffix(".txt").write_text(f"a {'bold' if ink[i] > median[label] else 'faint'} {NAMES[label]}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
