"""evaluate(run): scores of a checkpoint, each a record with the protocol that it was measured under.

What is scored follows from what the Method can do: likelihood, reconstruction, samples. This is a first,
small set of scores; none of them is a FID, and none is called so.
"""

import json
from collections.abc import Iterator

import jax
import numpy as np

from gen_jax import randomness
from gen_jax.config import to_json
from gen_jax.data.dataset import Dataset
from gen_jax.data.images import evenly
from gen_jax.errors import InputError
from gen_jax.losses.bounds import bits_per_dimension
from gen_jax.metrics import coverage, diversity, similarity
from gen_jax.run import Run
from gen_jax.runtime import mesh as meshes
from gen_jax.train import check_same_data
from gen_jax.version import __version__

BATCH = 200


def evaluate(run: Run, *, seed: int = 0, samples: int = 1000, count: int = 256, limit: int = 0) -> list[dict]:
    """Records of every score that the run's Method allows, appended to the run's evaluations.jsonl.

    Args:
      seed: of generated images, of the noise of the bounds and of dynamic binarisation.
      samples: importance samples per image (k) of the likelihood.
      count: generated images.
      limit: likelihood and reconstruction are measured on the first so many test images; 0 for all. Where a
        set is sorted by class, as a folder is, the first ones are of one class.

    Raises:
      InputError: a count that cannot be, or data that is not at hand.
    """
    for name, value, least in (
        ("samples", samples, 1),
        ("count", count, 2),
        ("limit", limit, 0),
        ("seed", seed, 0),
    ):
        if value < least:
            raise InputError(f"--{name}={value}: must be >= {least}")
    train, test = run.dataset("train"), run.dataset("test")
    check_same_data(train, run.path)
    protocol = {
        "step": run.step,
        "weights": run.weights,
        "objective": to_json(run.config.objective),
        "batch_norm": "running statistics",
        "data": test.name,
        "split": test.split,
        "data_sha256": test.fingerprint(),
        "binarize": run.config.data.binarize,
        "seed": seed,
        "gen_jax": __version__,
    }
    used = min(limit, test.spec.size) if limit else test.spec.size
    records = []
    if run.method.bound and run.method.log_likelihood:
        records += _likelihood(run, test, seed, samples, used)
    if run.method.reconstruct:
        records += _reconstruction(run, test, seed, used)
    if run.method.sample:
        records += _generated(run, train, test, seed, count)
    records = [{**record, **protocol} for record in records]
    try:
        with open(run.path / "evaluations.jsonl", "a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    except OSError as error:
        raise InputError(f"cannot write {run.path / 'evaluations.jsonl'} ({error.strerror})") from error
    return records


def as_seen(dataset: Dataset, batch: dict, seed: int) -> dict:
    """A host batch as the model sees it (binarised as in training), uint8, on the host.

    Random binarisation is keyed by the index in the set, so it does not depend on the batch.
    """
    batch = {**batch, "row": batch["index"]}
    return jax.device_get(dataset.transform(batch, randomness.stream(seed, randomness.EVAL)))


def _batches(run: Run, dataset: Dataset, seed: int, used: int) -> Iterator[tuple]:
    """(images in [0, 1], condition, keys [B], rows that count) over the first `used` images, sharded."""
    size = -(-min(BATCH, used) // run.mesh.size) * run.mesh.size
    base = jax.random.fold_in(randomness.stream(seed, randomness.EVAL), 1)
    left = used
    for batch in dataset.sequential(size):
        batch = meshes.put(meshes.batched(run.mesh), as_seen(dataset, batch, seed))
        keys = randomness.row_keys(base, batch["index"])
        yield batch["image"] / 255.0, batch.get("condition"), keys, min(size, left)
        left -= size
        if left <= 0:
            return


def _likelihood(run, test, seed, samples, used):
    bound = jax.jit(run.method.bound)
    elbo, kl, log_p = [], [], []
    for images, condition, keys, valid in _batches(run, test, seed, used):
        terms = bound(run.variables, images, keys, condition)
        elbo.append(np.asarray(terms["elbo"])[:valid])
        kl.append(np.asarray(terms["kl"])[:valid])
        # Fresh noise: the estimate must not share its first sample with the bound beside it.
        fresh = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
        log_p.append(np.asarray(run.method.log_likelihood(run.variables, images, fresh, samples, condition))[:valid])
    elbo, kl, log_p = (np.concatenate(x).astype(np.float64) for x in (elbo, kl, log_p))
    dimensions = int(np.prod(test.spec.shape))
    shared = {"unit": "nats", "images": used}
    records = [{"metric": "elbo", **_mean(elbo), **shared}, {"metric": "kl", **_mean(kl), **shared}]
    if not run.method.discrete:  # a density of real pixels: no number of bits, and not to be compared with one
        return [*records, {"metric": "negative_log_density", **_mean(-log_p), "k": samples, **shared}]
    bits = {"value": float(bits_per_dimension(-log_p.mean(), dimensions)), "k": samples, "images": used}
    return [*records, {"metric": "nll", **_mean(-log_p), "k": samples, **shared}, {"metric": "bits_per_dim", **bits}]


def _mean(values):
    """Mean and its standard error; None, which JSON can say, where there is no such number."""
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    numbers = {"value": float(values.mean()), "standard_error": error}
    return {name: x if x is not None and np.isfinite(x) else None for name, x in numbers.items()}


def _reconstruction(run, test, seed, used):
    error, signal = [], []
    reconstruct = jax.jit(run.method.reconstruct)
    for images, condition, _, valid in _batches(run, test, seed, used):
        again = reconstruct(run.variables, images, condition)
        error.append(np.asarray(similarity.mean_absolute_error(images, again))[:valid])
        signal.append(np.asarray(similarity.psnr(images, again))[:valid])
    return [
        {"metric": "reconstruction_mae", **_mean(np.concatenate(error)), "unit": "of [0, 1]", "images": used},
        {"metric": "reconstruction_psnr", **_mean(np.concatenate(signal)), "unit": "dB", "images": used},
    ]


def _generated(run, train, test, seed, count):
    """Diversity of samples beside the same number of real images and, where there are labels, a classifier's view."""
    fakes = run.sampler.sample(run.variables, range(seed, seed + count))
    reals = test.gather(evenly(test.spec.size, count))["image"]  # as stored: samples of a Bernoulli model are its means
    records = [
        {
            "metric": "mean_pairwise_distance",
            "value": float(diversity.mean_pairwise_distance(fakes / 255.0)),
            "of_real_images": float(diversity.mean_pairwise_distance(reals / 255.0)),
            "images": count,
            "real_images": len(reals),
        }
    ]
    return records + (_classified(train, test, fakes) if test.spec.classes > 1 else [])


def _classified(train, test, fakes, most=5000):
    """How a classifier fitted to real training images reads the samples.

    The classifier is a support vector machine on pixels; what it says of real test images stands beside
    what it says of the samples, for a probability means nothing without that.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    def pixels(images):
        return images.reshape(len(images), -1) / 255.0

    def part(dataset):
        batch = dataset.gather(evenly(dataset.spec.size, most))
        return pixels(batch["image"]), batch["condition"]["label"]

    train_pixels, train_labels = part(train)
    folds = min(5, np.bincount(train_labels, minlength=train.spec.classes).min())
    if folds < 2:
        return []  # a class with a single image cannot be both learned and calibrated
    machine = make_pipeline(StandardScaler(with_std=False), SVC(C=10.0, gamma="scale", random_state=0))
    classifier = CalibratedClassifierCV(machine, ensemble=False, cv=folds).fit(train_pixels, train_labels)
    real_pixels, real_labels = part(test)
    of_real = classifier.predict_proba(real_pixels)
    of_fake = classifier.predict_proba(pixels(fakes))
    accuracy = float((classifier.classes_[of_real.argmax(1)] == real_labels).mean())
    fake, real = coverage.label_coverage(of_fake), coverage.label_coverage(of_real)
    shared = {
        "classifier": "calibrated RBF SVM on pixels",
        "classifier_test_accuracy": accuracy,
        "images": len(fakes),
    }
    return [
        {"metric": name, "value": fake[name], "of_real_images": real[name], **shared}
        for name in ("classes_found", "mean_top_probability", "label_entropy")
    ]
