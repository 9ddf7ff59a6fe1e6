"""The sections of a report on what images are asked for by, and on models that draw tokens."""

from html import escape

import jax
import numpy as np

from gen_jax.data import condition as conditions
from gen_jax.data.condition import chosen
from gen_jax.data.dataset import floats
from gen_jax.data.images import evenly
from gen_jax.evaluation.evaluate import as_seen
from gen_jax.provenance.pictures import grid
from gen_jax.report.figures import number
from gen_jax.report.subject import image_of, note_of

_ASKED = 12
_COMPLETED = 6
_DRAWS = 5
_PLACES = 8


def _examples(subject, count):
    """Test images as the model sees them, with their conditions."""
    index = evenly(subject.test.spec.size, count)
    return as_seen(subject.test, {**subject.test.gather(index), "index": index}, seed=0)


def asked(subject):
    """What some test examples ask for, the example and the samples drawn for it."""
    run = subject.run
    about = run.method.conditions
    if run.method.sample is None or all(c.kind == "label" for c in about.values()):
        return None
    if subject.test is None:
        return note_of(subject.absent)
    batch = _examples(subject, _ASKED)
    condition = chosen(about, batch)
    drawn = [run.sample(range(len(batch["image"])), condition, draw=i) for i in range(3)]
    figures = []
    for i, image in enumerate(batch["image"]):
        values = {name: (c, np.asarray(condition[name][i])) for name, c in about.items()}
        words = "; ".join(conditions.describe(*value) for value in values.values())
        pictures = [conditions.picture(*value) for value in values.values()]
        shown = [image_of(subject, p, 0.02 / _ASKED, "What was asked by") for p in pictures if p is not None]
        row = image_of(subject, grid(np.stack([image, *(x[i] for x in drawn)]), columns=4), 0.06 / _ASKED, words)
        figures.append(f"<figure>{''.join(shown)}{row}<figcaption>{escape(words)}</figcaption></figure>")
    return f'<div class="tiles pairs">{"".join(figures)}</div>'


def completions(subject):
    """The lower halves of test images, drawn anew."""
    run = subject.run
    if run.method.complete is None:
        return None
    if subject.test is None:
        return note_of(subject.absent)
    batch = _examples(subject, _COMPLETED)
    images, condition = batch["image"], chosen(run.method.conditions, batch)
    mask = np.ones((*run.spec.shape[:2], 1), np.uint8)
    mask[run.spec.shape[0] // 2 :] = 0
    hollow = np.where(mask > 0, images, np.uint8(128))
    drawn = [run.complete(images, mask, range(i * 1000, i * 1000 + len(images)), condition) for i in range(_DRAWS)]
    rows = np.stack([images, hollow, *drawn], 1).reshape(-1, *images.shape[1:])
    picture = image_of(subject, grid(rows, columns=2 + _DRAWS), 0.06, "Test images with their lower halves drawn anew")
    caption = f"The test image, what is kept of it, and {_DRAWS} completions"
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def attention(subject):
    """What some places of a test image see, in the last layer, by its first head."""
    run = subject.run
    if run.method.attention is None:
        return None
    if subject.test is None:
        return note_of(subject.absent)
    batch = _examples(subject, 1)
    image, condition = floats((batch["image"], chosen(run.method.conditions, batch)))
    maps = np.asarray(jax.jit(run.method.attention)(run.variables, image, condition))[0, -1, 0]
    places, _, columns = maps.shape
    figures = [
        f"<figure>{image_of(subject, batch['image'][0], 0.01, 'The image')}<figcaption>the image</figcaption></figure>"
    ]
    for place in evenly(places, _PLACES):
        seen = np.rint(255 * maps[place] / max(maps[place].max(), 1e-9)).astype(np.uint8)[..., None]
        words = f"place {place // columns + 1}, {place % columns + 1}"
        told = f"{words}<br>{number(1 - float(maps[place].sum()))} on what was asked"
        figures.append(
            f"<figure>{image_of(subject, grid(seen[None]), 0.01, words)}<figcaption>{told}</figcaption></figure>"
        )
    return f'<div class="tiles pairs">{"".join(figures)}</div>'
