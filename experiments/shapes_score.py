"""How many of the pictures that a run draws of shapes show every attribute that they were asked for.

    uv run python experiments/shapes_score.py RUN [--count=200] [--wrong=FILE.png] [--guidance=2 ...]
    uv run python experiments/shapes_score.py RUN --scorer=MATCHER --best_of=8

asks for the captions of test scenes, of combinations of colour and shape that training had and of those that it left
out, by the number of objects, and reads what is drawn (`experiments/shapes_judge.py`). "of real" is the same share of
the test scenes' own pictures: what the judge can see. Any other flag is handed to `run.sample`.
"""

import argparse
import collections
from functools import partial
from pathlib import Path

import numpy as np
import shapes_judge as judge
from shares import options, share

import gen_jax
from gen_jax import data
from gen_jax.data import scene
from gen_jax.data.condition import describe
from gen_jax.errors import in_one_line
from gen_jax.provenance.pictures import grid, write_png

KINDS = ("number", "size", "colour", "shape", "where")


def asked(run, objects: int, count: int) -> dict:
    """Name -> (tokens, captions, real pictures) of test scenes of so many objects: "seen" and "held out"."""
    section = {**run.config.data, "objects": (objects,), "combinations": "seen", "scenes": 20 * count, "flip": False}
    test = data.make(**section, split="test")
    found = {}
    for name, first in (("seen", 0), ("held out", 1)):
        batch = test.gather(np.arange(first, 2 * count, 2))
        tokens = batch["condition"]["text"]
        captions = [describe(test.spec.conditions["text"], said) for said in tokens]
        assert all(scene.held_out(scene.parse(caption)) == (name == "held out") for caption in captions)
        found[name] = tokens, captions, batch["image"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--scorer", help="a run of matcher_shapes that chooses among --best_of draws")
    parser.add_argument("--best_of", type=int, default=8)
    parser.add_argument("--wrong", help="a grid of the pictures that are wrong, at most 64; their captions are printed")
    arguments, rest = parser.parse_known_args()
    given, run, wrong = options(rest), gen_jax.load(arguments.run), []
    draw, how = run.sample, ""
    if arguments.scorer:
        draw = partial(run.best_of, arguments.best_of, gen_jax.load(arguments.scorer))
        how = f", best of {arguments.best_of}"
    print(f"{run}, {given or 'default options'}{how}")
    print(f"| captions | objects | right | of real | wrong in: {' | '.join(KINDS)} |\n|{' --- |' * (4 + len(KINDS))}")
    for objects in range(1, scene.MOST + 1):
        for name, (tokens, captions, real) in asked(run, objects, arguments.count).items():
            drawn = draw(range(len(tokens)), {"text": tokens}, **given)
            readings = judge.read(drawn)
            faults = [judge.faults(*pair) for pair in zip(readings, map(scene.parse, captions), strict=True)]
            right = np.array([not found for found in faults])
            counts = collections.Counter(kind for found in faults for kind in found)
            wrong_in = " | ".join(f"{counts[kind] / len(right):.3f}" for kind in KINDS)
            limit = judge.right(real, captions).mean()
            print(f"| {name} | {objects} | {share(right)} | {limit:.3f} | {wrong_in} |", flush=True)
            of = f"{name}, {objects}"
            wrong += [(of, *row) for row in zip(captions, faults, drawn, readings, strict=True) if row[1]]
    if arguments.wrong and wrong:
        shown = [wrong[i] for i in np.linspace(0, len(wrong) - 1, min(64, len(wrong))).astype(int)]
        for n, (of, caption, found, _, reading) in enumerate(shown):
            print(f"{n:2} ({of}) {caption}: {', '.join(found)}; seen: {[' '.join(thing.what) for thing in reading]}")
        write_png(
            Path(arguments.wrong), grid(np.stack([row[3] for row in shown]), 8), {"Title": "pictures that are wrong"}
        )


if __name__ == "__main__":
    with in_one_line():
        main()
