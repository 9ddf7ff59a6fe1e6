"""The sections of a report that show images; each is HTML, or None where the run's Method cannot do that."""

import re

import numpy as np
from PIL import Image

from gen_jax.data.condition import chosen
from gen_jax.data.images import evenly
from gen_jax.errors import InputError
from gen_jax.evaluation.evaluate import as_seen
from gen_jax.metrics.neighbours import nearest
from gen_jax.provenance.pictures import grid
from gen_jax.report.figures import data_uri, number, thinned
from gen_jax.report.subject import asked_by, drawn, image_of, note_of

_STEPS = 16  # grids behind the slider
_SCANNED = 256  # samples whose nearest training images are looked for
_MOST_TRAINING = (10_000, 2**26)  # training images and numbers in them that are compared with
_PAIRS = 12
_TRAVERSALS = 6


def steps(subject):
    """The grids by step, behind a slider."""
    if subject.run.method.sample is None:
        return None
    files = sorted(f for f in subject.run.path.glob("samples/step_*.png") if re.fullmatch(r"step_\d+", f.stem))
    grids, unread = [], ""
    for file in [files[i] for i in thinned(len(files), _STEPS)]:
        try:
            grids.append((f"step {int(file.stem.removeprefix('step_')):,}", _opened(file)))
        except InputError as error:  # the run is whole without it
            unread += note_of(f"{error}.")
    if not grids:
        return unread + note_of("No grid was drawn while training; set train.sample_every.")
    images, last = [], len(grids) - 1
    for i, (name, picture) in enumerate(grids):
        hidden = "" if i == last else "hidden"
        share = 0.45 / len(grids)
        images.append(image_of(subject, picture, share, f"Samples at {name}", f'data-name="{name}" {hidden}'))
    return (
        f'{unread}<div class="grids"><label class="slider"><span>Step</span>'
        f'<input type="range" min="0" max="{last}" value="{last}" step="1"><output></output></label>'
        f"{''.join(images)}</div>"
    )


def _opened(file):
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # all of them Pillow's
        raise InputError(f"{file} cannot be read ({error}); remove it") from error


def reals(subject):
    """Training images beside samples."""
    run = subject.run
    if run.method.sample is None:
        return None
    if (run.path / "reals.png").exists():
        reals = _opened(run.path / "reals.png")
    elif subject.train:
        reals = grid(subject.train.gather(evenly(subject.train.spec.size, 64))["image"])
    else:
        reals = None
    samples = image_of(subject, grid(drawn(subject, 64)), 0.1, "Samples")
    figures = [f"<figure>{samples}<figcaption>Samples of seeds 0 to 63 at step {run.step:,}</figcaption></figure>"]
    if reals is None:
        return note_of(subject.absent) + figures[0]
    picture = image_of(subject, reals, 0.1, "Real images")
    figures.insert(0, f"<figure>{picture}<figcaption>Training images</figcaption></figure>")
    return f'<div class="tiles beside">{"".join(figures)}</div>'


def reconstructions(subject):
    """Test images, each followed by what came back."""
    run, test = subject.run, subject.test
    if run.method.reconstruct is None:
        return None
    if test is None:
        return note_of(subject.absent)
    index = evenly(test.spec.size, 32)
    batch = as_seen(test, {**test.gather(index), "index": index}, seed=0)
    again = run.reconstruct(batch["image"], chosen(run.method.conditions, batch))
    pairs = np.stack([batch["image"], again], axis=1).reshape(-1, *again.shape[1:])
    picture = image_of(subject, grid(pairs, columns=8), 0.08, "Test images and their reconstructions")
    caption = "Left of each pair the test image as the model sees it, right the reconstruction"
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def interpolation(subject):
    """An animation from seed to seed."""
    run = subject.run
    if run.method.decode is None or run.method.latents is None or run.method.vocabulary is not None:
        return None
    loops = [run.interpolate(range(first, first + 3), 12, first_condition(subject, first)) for first in (0, 3, 6, 9)]
    frames = [grid(np.stack(images), columns=4) for images in zip(*loops, strict=True)]
    alt = "Four loops, each through three seeds"
    still = data_uri(frames[:1], int(subject.room * 0.02))
    moving = image_of(subject, frames, 0.13, alt)
    # Who asks for less motion gets the first frame.
    return (
        f'<figure><picture><source media="(prefers-reduced-motion: reduce)" srcset="{still}">{moving}</picture>'
        f"<figcaption>{alt}: 0 to 2, 3 to 5, 6 to 8, 9 to 11</figcaption></figure>"
    )


def neighbours(subject):
    """Samples beside the training images nearest to them."""
    run, train, test = subject.run, subject.train, subject.test
    if run.method.sample is None:
        return None
    if train is None:
        return note_of(subject.absent)
    most, numbers = _MOST_TRAINING
    index = evenly(train.spec.size, max(1, min(most, numbers // int(np.prod(train.spec.shape)))))
    known = train.gather(index)["image"]
    samples = drawn(subject, _SCANNED)
    tests = test.gather(evenly(test.spec.size, _SCANNED))["image"]
    which, distance = nearest(_flat(samples), _flat(known))
    _, usual = nearest(_flat(tests), _flat(known))
    figures = []
    for i in np.argsort(distance)[:_PAIRS]:
        pair = grid(np.stack([samples[i], known[which[i]]]), columns=2)
        picture = image_of(subject, pair, 0.08 / _PAIRS, f"Sample of seed {i} and its nearest training image")
        figures.append(f"<figure>{picture}<figcaption><b>{number(distance[i])}</b> seed {i}</figcaption></figure>")
    compared = f"{len(known):,} training images" + ("" if len(known) == train.spec.size else f" of {train.spec.size:,}")
    return (
        f'<div class="tiles pairs">{"".join(figures)}</div>'
        f'<p class="note">The {len(figures)} closest of {_SCANNED} samples, by Euclidean distance of pixels in [0, 1]'
        f" to {compared}. The median over all these samples is {number(float(np.median(distance)))}; of"
        f" {len(tests)} test images to the same training images it is {number(float(np.median(usual)))}. Samples much"
        " closer than test images are copies.</p>"
    )


def first_condition(subject, seed=0):
    """What the image of a seed is asked for by, for all images of a picture; None where the seed decides it."""
    given = asked_by(subject, [seed])
    return given and {name: value[0] for name, value in given.items()}


def _flat(images):
    return images.reshape(len(images), -1).astype(np.float32) / 255.0


def traversals(subject):
    """One latent moved, the others held."""
    run = subject.run
    if run.method.decode is None or run.method.latents is None or run.method.vocabulary is not None:
        return None
    start = run.sampler.latents(run.variables, [0])
    if not isinstance(start, np.ndarray) or start.ndim != 2 or start.dtype != np.float32:
        return None  # codes, or latents of several parts: no one number to move
    start = start[0]
    condition = first_condition(subject)

    def images(points):
        """uint8 [N, H, W, C] of latents [N, Z]."""
        return run.decode(points, condition)

    def moved(dimension, value):
        point = start.copy()
        point[dimension] = value
        return point

    size = len(start)
    ends = images(np.stack([moved(d, v) for v in (-3, 3) for d in range(size)])).astype(np.float32) / 255.0
    effect = np.abs(ends[size:] - ends[:size]).reshape(size, -1).mean(axis=1)
    strips = []
    chosen = np.argsort(-effect, kind="stable")[:_TRAVERSALS]
    for d in chosen:
        strip = grid(images(np.stack([moved(d, v) for v in range(-3, 4)])), columns=7)
        picture = image_of(subject, strip, 0.07 / len(chosen), f"Latent {d} from -3 to 3")
        caption = f"<b>latent {d}</b><br>effect {number(float(effect[d]))}"
        strips.append(f'<figure class="strip"><figcaption>{caption}</figcaption>{picture}</figure>')
    return (
        "".join(strips) + f'<p class="note">The {len(strips)} of {size} latents of largest effect at seed 0: the mean'
        " absolute difference between the two ends, of a range of 1."
        + (" All asked for as the first test example is." if condition else "")
        + "</p>"
    )
