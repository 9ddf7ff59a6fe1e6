"""How well emoji are drawn from their names: from names that training had, and from names that it never read.

    uv run python experiments/emoji_score.py RUN --scorer=MATCHER [--count=300] [--grid=FILE.png] [--guidance=3 ...]

The scorer, a run of `matcher_emoji`, chooses for each image that RUN draws the caption among 100: its own, and those of
99 other images of the same split that say something else. "drawn" is how often it chooses the own one, "real" the same
of the images that belong to the captions. Guessing is right at 1 %. Both runs must have `data.split_by=name`: then
names of the test split are in no image that either of them has learned from, whatever its skin tone. The grid has the
real image on the left of each that is drawn; its captions are printed. Any other flag is handed to `run.sample`.
"""

import argparse
from pathlib import Path

import numpy as np
from shares import options, share

import gen_jax
from gen_jax.data.condition import describe
from gen_jax.errors import InputError, in_one_line
from gen_jax.provenance.pictures import grid, write_png

AMONG, SHOWN = 100, 16


def chosen_among(scorer, images: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """bool [N], whether the scorer prefers row i's caption for image i to those of AMONG - 1 other rows."""
    rng, right = np.random.default_rng(0), []
    for i, image in enumerate(images):
        others = np.flatnonzero((captions != captions[i]).any(1))
        asked = captions[[i, *rng.choice(others, AMONG - 1, replace=False)]]
        scores = scorer.sampler.match(scorer.variables, np.repeat(image[None], AMONG, 0), {"text": asked})
        right.append(scores[0] > scores[1:].max())
    return np.array(right)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--scorer", required=True)
    parser.add_argument("--count", type=int, default=300, help="images of each split, at most")
    parser.add_argument("--grid", type=Path)
    arguments, rest = parser.parse_known_args()
    given, run, scorer = options(rest), gen_jax.load(arguments.run), gen_jax.load(arguments.scorer)
    for one in (run, scorer):
        if one.config.data.split_by != "name":
            raise InputError(f"{one.path} has data.split_by={one.config.data.split_by}; train it with name")
    about = run.method.conditions["text"]
    if scorer.method.conditions["text"] != about:
        raise InputError("the scorer reads other words than the model is asked by")
    print(f"{run}, {given or 'default options'}\n| names | images | drawn | real |\n| --- | --- | --- | --- |")
    shown = []
    for split, of in (("train", "that training had"), ("test", "that it never read")):
        data = run.dataset(split)
        index = np.random.default_rng(1).permutation(data.spec.size)[: arguments.count]
        batch = data.gather(index)
        captions = batch["condition"]["text"]
        drawn = run.sample(range(len(index)), {"text": captions}, **given)
        cells = [share(chosen_among(scorer, images, captions)) for images in (drawn, batch["image"])]
        print(f"| {of} | {len(index)} | {' | '.join(cells)} |", flush=True)
        pairs = np.stack([batch["image"], drawn], 1)[:SHOWN]
        shown.append(pairs.reshape(-1, *pairs.shape[2:]))
        said = [describe(about, caption) for caption in captions[:SHOWN]]
        print(*(f"{n:2} {caption}" for n, caption in enumerate(said)), sep="\n")
    if arguments.grid:
        write_png(arguments.grid, grid(np.concatenate(shown), 8), {"Title": "real and drawn, by turns"})


if __name__ == "__main__":
    with in_one_line():
        main()
