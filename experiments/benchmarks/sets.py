"""Metrics of sets of images, in gen_jax and by `prdc` and scipy, on the same features; and all that evaluate makes."""

import tempfile
from pathlib import Path

import numpy as np
from workers import Setting, Work

ROWS, FEATURES, IMAGES = 10_000, 512, 10_000


def features():
    """Two sets of ROWS features that overlap in part."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(64, FEATURES)).astype(np.float32)  # of few dimensions, as the features of a network are
    draw = lambda shift: np.maximum((rng.normal(size=(ROWS, 64)).astype(np.float32) + shift) @ mix, 0.0) / 8.0
    return draw(0.0), draw(0.1)


def in_jax(setting: Setting) -> Work:
    """Frechet distance, precision and recall (k = 3), density and coverage (k = 5)."""
    from gen_jax import metrics

    real, fake = features()
    return compared(lambda: (metrics.frechet_distance(real, fake), *metrics.neighbour_metrics(real, fake)))


def by_prdc(setting: Setting) -> Work:
    """The same by `prdc`, which is called once for each k, and by scipy's sqrtm."""
    from prdc import compute_prdc
    from scipy.linalg import sqrtm

    real, fake = features()

    def compute():
        (m1, c1), (m2, c2) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (real.astype(float), fake.astype(float)))
        frechet = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
        wide, narrow = compute_prdc(real, fake, nearest_k=3), compute_prdc(real, fake, nearest_k=5)
        return frechet, wide["precision"], wide["recall"], narrow["density"], narrow["coverage"]

    return compared(compute)


def compared(compute) -> Work:
    names = "frechet", "precision", "recall", "density", "coverage"
    held = {}
    # float32 distances may see a neighbour on the other side of a radius: a few of 10,000 rows.
    near = lambda value: (float(value), 2e-3 * max(1.0, abs(value)))
    values = lambda: {name: near(value) for name, value in zip(names, held["found"], strict=True)}
    return Work(lambda: held.update(found=compute()), values=values, runs=1)


def all_scores(setting: Setting) -> Work:
    """What `gen-jax evaluate` does with samples: features of a classifier of random weights, then every metric."""
    import jax

    from gen_jax import data
    from gen_jax.evaluation import scores
    from gen_jax.evaluation.extractors import Extractor
    from gen_jax.method import Variables
    from gen_jax.methods.classifier import classifier
    from gen_jax.networks import CLASSIFIERS
    from gen_jax.runtime import mesh

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(path, x_train=blobs(IMAGES, 0), x_test=blobs(2000, 1))
        train, test = (data.make(name="npz", path=str(path), batch_size=8, split=s) for s in ("train", "test"))
    fakes = blobs(IMAGES, 2, noise=12)
    network = CLASSIFIERS["cnn"](classes=10, features=FEATURES)
    params = {"classifier": network.init(jax.random.key(0), np.zeros((1, 32, 32, 3)))["params"]}
    method = classifier(network, None, {}, parts=1)
    apply = jax.jit(lambda variables, images: method.features(variables, images / 255.0))
    extractor = Extractor("small", apply, Variables(params, {}), {})

    def run():
        ground = scores.prepare(extractor, train, test, mesh.make(1), IMAGES)
        scores.generated(ground, lambda seeds: fakes[list(seeds)])

    return Work(run, runs=1)


def blobs(count, seed, noise=8):
    """Smooth colour images 32 x 32: 4 x 4 random colours, enlarged, and a little noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (count, 4, 4, 3), np.uint8)
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)
    return images + rng.integers(0, noise, images.shape, np.uint8)
