"""All metrics of sets on many images, and the costliest of them beside other implementations.

    uv run python experiments/benchmarks/set_metrics.py
    uv run python experiments/benchmarks/set_metrics.py --images=10000 --features=128

First, everything that `gen-jax evaluate` does with samples, on synthetic 32 x 32 x 3 images: the small
classifier (with random weights: only its cost matters here) sees real and generated images, then every metric of
sets. Then Frechet distance and precision / recall / density / coverage on the same features, beside `prdc` and a
Frechet distance by scipy's sqrtm, in turn, on as many rows as `prdc` can hold in memory (it keeps three N x N
matrices). Wall seconds, processor seconds, and the largest memory of the process so far.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from gen_jax import data, metrics
from gen_jax.evaluation import scores
from gen_jax.evaluation.extractors import Extractor
from gen_jax.method import Variables
from gen_jax.methods.classifier import classifier
from gen_jax.networks import CLASSIFIERS
from gen_jax.runtime import mesh


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--rows", type=int, default=10_000, help="of the comparison")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(path, x_train=blobs(arguments.images, 0), x_test=blobs(2000, 1))
        train, test = (data.make(name="npz", path=str(path), batch_size=8, split=s) for s in ("train", "test"))
    fakes = blobs(arguments.images, 2, noise=12)
    network = CLASSIFIERS["cnn"](classes=10, features=arguments.features)
    params = {"classifier": network.init(jax.random.key(0), np.zeros((1, 32, 32, 3)))["params"]}
    method = classifier(network, None, {})
    apply = jax.jit(lambda variables, images: method.features(variables, images / 255.0))
    extractor = Extractor("small", apply, Variables(params, {}), {})

    print(f"{arguments.images:,} images 32x32x3, {arguments.features} features")
    ground = timed(
        "real images, the floor included",
        lambda: scores.prepare(extractor, train, test, mesh.make(1), arguments.images),
    )
    draw = lambda seeds: fakes[list(seeds)]
    timed("generated images, all metrics", lambda: scores.generated(ground, draw))

    real = ground.reference.features[: arguments.rows]
    fake = scores.features.extract(extractor, lambda rows: fakes[rows], len(real), ground.mesh).features
    compare(real, fake, arguments.rounds)


def blobs(count, seed, noise=8):
    """Smooth colour images: 4 x 4 random colours, enlarged, and a little noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (count, 4, 4, 3), np.uint8)
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)
    for start in range(0, count, 1000):  # in place: the noise of all at once would be the peak of the memory
        part = images[start : start + 1000]
        part += rng.integers(0, noise, part.shape, np.uint8)
    return images


def timed(what, compute):
    wall, processor = time.perf_counter(), time.process_time()
    result = compute()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what:45} {wall:7.1f} s {processor:7.1f} s processor {peak:6.2f} GiB at most", flush=True)
    return result


def compare(real, fake, rounds):
    from prdc import compute_prdc
    from scipy.linalg import sqrtm

    def ours():
        frechet = metrics.frechet_distance(real, fake)
        return frechet, *metrics.neighbour_metrics(real, fake)

    def theirs():
        (m1, c1), (m2, c2) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (real.astype(float), fake.astype(float)))
        frechet = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
        wide, narrow = compute_prdc(real, fake, nearest_k=3), compute_prdc(real, fake, nearest_k=5)
        return frechet, wide["precision"], wide["recall"], narrow["density"], narrow["coverage"]

    print(f"\nFrechet, precision and recall (k = 3), density and coverage (k = 5) of {len(real):,} rows")
    for _ in range(rounds):
        answers = timed("gen_jax", ours), timed("prdc (once for each k), scipy sqrtm", theirs)
    for name, a, b in zip(("frechet", "precision", "recall", "density", "coverage"), *answers, strict=True):
        print(f"{name:12} {a:12.6f} {b:12.6f}")


if __name__ == "__main__":
    main()
