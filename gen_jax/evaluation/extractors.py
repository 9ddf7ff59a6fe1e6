"""Feature extractors: images -> features, the space in which sets of images are compared.

    classifier   the last hidden layer of a small classifier trained on the same data set (`configs/classifier.py`)
    random       a fixed random projection of the pixels: needs no labels and no training
    pixels       the pixels themselves
    inception    the standard Inception network, from a weights file of yours: with it a Frechet distance is a FID

An extractor is a value: a compiled function, and all that a reader of a score must know about it.

The features of a classifier that cannot tell the classes apart hold little of what the images show, so scores in them
carry a warning. The bound is TRUSTED: it must have come four fifths of the way from always naming the most frequent
class to being always right. Of ten equal classes that is an accuracy of 0.82, of two 0.9; where 95 of 100 images are of
one class it is 0.99. Plain accuracy would trust a classifier there that has learned nothing.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax import data
from gen_jax.config import to_json
from gen_jax.config.load import load as load_config
from gen_jax.data import cache
from gen_jax.data.dataset import Dataset, floats
from gen_jax.errors import InputError
from gen_jax.networks.pyramid import fits
from gen_jax.observers import Observer
from gen_jax.run import Run, load
from gen_jax.runtime import mesh as meshes
from gen_jax.runtime.compilation import cache_directory
from gen_jax.runtime.progress import Tell, quiet, say
from gen_jax.version import __version__

EXTRACTORS = ("classifier", "random", "pixels", "inception")

BATCH = 256
PROJECTIONS = 256
MOST_PIXELS = 4096
TRUSTED = 0.8  # of the way from naming one class to being right


class Extractor(NamedTuple):
    """A way to see images."""

    name: str  # what scores are called by: fd_<name>
    # (arrays, images uint8 [B, H, W, C]) -> {"features": [B, d], perhaps "probabilities": [B, K]}.
    apply: Callable[[Any, jax.Array], Mapping[str, jax.Array]]
    arrays: Any  # weights, an argument of `apply`: captured, they would be baked into the program
    about: Mapping[str, Any]  # what stands in the protocol of every score: weights' hash, resizer, accuracy
    warning: str = ""  # why scores in these features say little, and what to use instead


class Features(NamedTuple):
    """What an extractor sees in a set of N images."""

    features: np.ndarray  # float32 [N, d]
    probabilities: np.ndarray | None  # float32 [N, K], of a classifier


def make(
    name: str,
    dataset: Dataset,
    section,
    train: Callable,
    weights: str | Path | None = None,
    directory: Path | None = None,
    tell: Tell = quiet,
) -> Extractor:
    """The extractor called `name`, one of EXTRACTORS, for images of `dataset`.

    Args:
      dataset: the training images, which the classifier learns.
      section: the data section of the run's config: where those images come from.
      train: `gen_jax.train.train`, which the classifier learns by, once per data set; it is kept.
        Handed in, for the loop's observers ask for extractors.
      weights: the file of the Inception network.
      directory: where trained classifiers are kept; default: in the cache directory.
      tell: hears how far the training of a classifier is.

    Raises:
      InputError: no such extractor, or one that these images do not go with.
    """
    if name not in EXTRACTORS:
        raise InputError(f"--extractor={name}: there are: {', '.join(EXTRACTORS)}")
    if (weights is not None) != (name == "inception"):
        hint = "give --weights=FILE, pt_inception-2015-12-05-6726825d.pth" if weights is None else "leave --weights out"
        raise InputError(f"--extractor={name}: {hint}")
    if name == "inception":
        return _inception(weights)
    if name == "classifier":
        return _classifier(dataset, section, train, directory or cache_directory() / "classifiers", tell)
    pixels = int(np.prod(dataset.spec.shape))
    if name == "random":
        return _random(pixels)
    if pixels > MOST_PIXELS:
        raise InputError(f"--extractor=pixels: {pixels} pixels an image are too many; use random or classifier")
    return Extractor("pixels", jax.jit(lambda _, images: {"features": _flat(images)}), (), {})


def default(dataset: Dataset) -> str:
    """The extractor that needs no file: the classifier where it can learn, else random."""
    return "classifier" if dataset.spec.classes > 1 and fits(dataset.spec.shape) else "random"


def extract(
    extractor: Extractor,
    images: Callable[[np.ndarray], np.ndarray],
    count: int,
    mesh: Mesh,
    tell: Callable[[int], None] = lambda done: None,
) -> Features:
    """Features of `count` images, batch by batch, each split over the devices of `mesh`.

    Args:
      images: (indices) -> uint8 [B, H, W, C]; asked for in order, the last batch padded with the last image.
      tell: hears how many are done.
    """
    size = -(-min(BATCH, count) // mesh.size) * mesh.size
    arrays = meshes.put(meshes.replicated(mesh), extractor.arrays)
    collected = []
    for start in range(0, count, size):
        index = np.minimum(np.arange(start, start + size), count - 1)
        seen = extractor.apply(arrays, meshes.put(meshes.batched(mesh), images(index)))
        collected.append({name: np.asarray(value)[: count - start] for name, value in seen.items()})
        tell(min(start + size, count))
    whole = {name: np.concatenate([part[name] for part in collected]) for name in collected[0]}
    return Features(whole["features"], whole.get("probabilities"))


def of_dataset(extractor: Extractor, dataset: Dataset, index: np.ndarray, mesh: Mesh, tell: Tell = quiet) -> Features:
    """Features of the images `index` of a data set, as stored; kept on disk under the set's content hash.

    Sets too large to be kept decoded are read anew each time: they are identified by names, sizes and samples of
    their content, and a file with other pixels must never be served from the cache.
    """

    def compute():
        told = lambda done: tell(f"features of {dataset.name} {dataset.split}", done, len(index))
        told(0)
        seen = extract(extractor, lambda rows: dataset.gather(index[rows])["image"], len(index), mesh, told)
        return {name: value for name, value in seen._asdict().items() if value is not None}

    if dataset.resident is None:
        return Features(**{"probabilities": None, **compute()})
    # Where and by what it is computed is part of it: sums in another order round otherwise.
    where = [__version__, jax.__version__, jax.default_backend(), mesh.size]
    identity = [dataset.fingerprint(), extractor.name, dict(extractor.about), hash_arrays(index), *where]
    stored = cache.cached(f"features-{extractor.name}-{dataset.name}-{dataset.split}", identity, compute)
    return Features(stored["features"], stored.get("probabilities"))


def hash_arrays(tree: Any) -> str:
    """sha256 of the arrays of a pytree: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        leaf = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype}".encode())
        digest.update(np.ascontiguousarray(leaf))
    return digest.hexdigest()


def _flat(images):
    return images.reshape(images.shape[0], -1).astype(jnp.float32) / 255.0


def _random(pixels: int) -> Extractor:
    size = min(PROJECTIONS, pixels)
    matrix = np.random.Generator(np.random.PCG64(0)).standard_normal((pixels, size)).astype(np.float32)
    matrix /= np.sqrt(np.float32(size))  # distances keep their size (Johnson & Lindenstrauss 1984)
    about = {"extractor_sha256": hash_arrays(matrix)}
    apply = jax.jit(lambda matrix, images: {"features": _flat(images) @ matrix})
    return Extractor("random", apply, matrix, about)


def _inception(path) -> Extractor:
    from gen_jax.evaluation import inception_file

    weights = inception_file.load(path)
    about = {"extractor_sha256": weights.sha256, "resizer": inception_file.RESIZER}
    see = inception_file.features(weights)  # a pytree: the weights are arguments of what is compiled
    return Extractor(weights.name, jax.jit(lambda see, images: see(images)), see, about)


def classifier_config(data_section: Mapping) -> Any:
    """The config of the classifier of a data set: the shipped one, on those images as they are stored."""
    config = load_config("classifier").unlock()
    batch_size = config.data.batch_size
    config.data.update({**data_section, "batch_size": batch_size, "binarize": "none", "flip": False, "seed": 0})
    return config.lock()


def _classifier(dataset: Dataset, section, train: Callable, directory: Path, tell: Tell) -> Extractor:
    if dataset.spec.classes < 2:
        raise InputError(f"--extractor=classifier: {dataset.name} has no labels to learn; use random or pixels")
    config = classifier_config(section)
    # Named by what it learns and how, not by where the images lie.
    digest = hashlib.sha256(repr([dataset.fingerprint(), *recipe(config)]).encode()).hexdigest()[:20]
    workdir = directory / f"{dataset.name}-{digest}"
    if not (workdir / "DONE").exists():
        say(f"training the classifier of {dataset.name}, once: {workdir}")
        train(config, workdir, name="classifier", observers=[_telling(dataset.name, config.train.steps, tell)])
    run = load(workdir)
    images = data.make(**config.data, split="test")  # the same images may lie elsewhere than when it was trained
    extractor = of_run(run)
    accuracy = float(right(extractor, images, meshes.local(run.mesh)).mean())
    about = {**extractor.about, "classifier_test_accuracy": accuracy}
    labels = images.gather(np.arange(images.spec.size))["condition"]["label"]
    return extractor._replace(about=about, warning=doubt(accuracy, np.bincount(labels).max() / len(labels)))


def _telling(name: str, steps: int, tell: Tell) -> Callable:
    """Has a training tell of itself."""
    told = lambda step: tell(f"classifier of {name}", step, steps)
    return lambda program, workdir: Observer(max(1, steps // 100), lambda state, step: told(step), told)


def doubt(accuracy: float, most_frequent: float) -> str:
    """Why the features of a classifier are not to be trusted; "" where they are.

    Args:
      accuracy: on test images.
      most_frequent: the share of the most frequent class among them.
    """
    if accuracy - most_frequent >= TRUSTED * (1.0 - most_frequent) and most_frequent < 1.0:
        return ""
    return (
        f"the classifier is right on {accuracy:.0%} of the test images only (naming always the same class:"
        f" {most_frequent:.0%}), so its features and classes say little; use the extractor random, or inception with"
        " its weights"
    )


def recipe(config) -> list:
    """How a classifier learns, whatever it learns: what a trained one is known by, beside its data."""
    return [{k: v for k, v in to_json(config).items() if k != "data"}, config.data.batch_size, __version__]


def of_run(run: Run) -> Extractor:
    """A trained classifier as an extractor."""
    apply = jax.jit(lambda variables, images: run.method.features(variables, floats(images)))
    arrays = jax.device_get(run.variables)  # each process sees by itself
    return Extractor("classifier", apply, arrays, {"extractor_sha256": hash_arrays(arrays)})


def right(extractor: Extractor, dataset: Dataset, mesh: Mesh) -> np.ndarray:
    """bool [N]: whether the classifier names the class of each image of a data set."""
    index = np.arange(dataset.spec.size)
    seen = of_dataset(extractor, dataset, index, mesh)
    return seen.probabilities.argmax(1) == dataset.gather(index)["condition"]["label"]
