"""How often an image of which half is drawn anew still shows its class.

    uv run python experiments/halves.py RUN

hides each half of the test images in turn, has RUN complete them, and asks the classifier of `configs/classifier.py`
which class it sees. "kept" is the share of completions with the class of the whole image, "half alone" the same where
the hidden half stays black. A model that is asked for a class is told that of the image.
"""

import sys

import numpy as np
from shares import share

import gen_jax
from gen_jax.cli.complete import HALVES, parse_mask
from gen_jax.data.condition import chosen
from gen_jax.errors import in_one_line
from gen_jax.evaluation import extractors
from gen_jax.train import train


def main():
    run = gen_jax.load(sys.argv[1])
    test, known = run.dataset("test"), run.dataset("train")
    extractor = extractors.make(extractors.default(known), known, run.config.data, train)
    index = np.arange(test.spec.size)
    examples = test.gather(index)
    images, label = examples["image"], examples["condition"]["label"]

    def kept(images) -> str:
        seen = extractors.extract(extractor, lambda rows: images[rows], len(images), run.mesh)
        return share(seen.probabilities.argmax(1) == label)

    print(f"{run}; whole images: {kept(images)}\n| drawn anew | kept | half alone |\n| --- | --- | --- |")
    for half in HALVES:
        mask = parse_mask(half, images.shape[1:])
        drawn = run.complete(images, mask, index, chosen(run.method.conditions, examples))
        print(f"| {half} | {kept(drawn)} | {kept(images * mask)} |", flush=True)


if __name__ == "__main__":
    with in_one_line():
        main()
