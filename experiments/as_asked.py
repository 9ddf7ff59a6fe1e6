"""How well conditional models draw what they are asked for: the table in docs/results.md, "What was asked for".

    uv run python experiments/as_asked.py RUN [RUN ...]

A run draws one image for each test example, asked as that example is (its class, its caption, its take of speech).

- `class`: how many of them the classifier of `configs/classifier.py` puts into the class that was asked for; beside it,
  how many of the real test images it puts into theirs. Only where images have classes.
- `1 of 100`: how often a sample is nearer to the image that belongs to its condition than to 99 other test images, in
  the features of the classifier where there is one, else in those of a random projection of the pixels. The distance is
  the Euclidean one. Guessing is right at 1 %. Where many test images are as fitting, as ten classes of digits are,
  it stays low for a perfect model too: it is meant for captions.
"""

import sys

import numpy as np

import gen_jax
from gen_jax.data.condition import chosen
from gen_jax.errors import in_one_line
from gen_jax.evaluation import extractors
from gen_jax.train import train

MOST = 1000  # test examples that are asked for
AMONG = 100


def as_asked(run) -> dict[str, float]:
    """The share of samples that are what was asked for, by each measure that the data allow."""
    test = run.dataset("test")
    index = np.arange(min(test.spec.size, MOST))
    examples = test.gather(index)
    images = run.sample(index, chosen(run.method.conditions, examples))
    known = run.dataset("train")
    extractor = extractors.make(extractors.default(known), known, run.config.data, train)
    drawn, real = (
        extractors.extract(extractor, lambda rows, x=x: x[rows], len(index), run.mesh)
        for x in (images, examples["image"])
    )
    found = {}
    if drawn.probabilities is not None:
        label = examples["condition"]["label"]
        found["class"] = (drawn.probabilities.argmax(1) == label).mean()
        found["class of real images"] = (real.probabilities.argmax(1) == label).mean()
    return found | {f"1 of {AMONG}": nearest(drawn.features, real.features)}


def nearest(drawn: np.ndarray, real: np.ndarray, seed: int = 0) -> float:
    """How often row i of `drawn` [N, d] is nearer to row i of `real` than to AMONG - 1 other rows, drawn by `seed`."""
    rng = np.random.default_rng(seed)
    distance = np.linalg.norm(drawn[:, None] - real[None], axis=-1)
    won = []
    for i, row in enumerate(distance):
        others = rng.choice(np.delete(np.arange(len(real)), i), AMONG - 1, replace=False)
        won.append(row[i] < row[others].min())
    return float(np.mean(won))


def main():
    for path in sys.argv[1:]:
        run = gen_jax.load(path)
        asked = ", ".join(run.method.conditions)
        shares = ", ".join(f"{name} {share:.3f}" for name, share in as_asked(run).items())
        print(f"{run.path.name}: asked by {asked}: {shares}")


if __name__ == "__main__":
    with in_one_line():
        main()
