"""Feature extractors: what they compute, on any number of devices, and what the cache may serve."""

import jax
import numpy as np
import pytest

from gen_jax import data
from gen_jax.config import load
from gen_jax.config.fields import SHARED
from gen_jax.errors import InputError
from gen_jax.evaluation import extractors
from gen_jax.runtime import mesh
from gen_jax.train import train


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "cache"))


def archive(path, seed=0, count=60, labels=True):
    rng = np.random.default_rng(seed)
    arrays = {"images": rng.integers(0, 256, (count, 8, 8, 3), np.uint8)}
    np.savez(path, **arrays, **({"labels": np.arange(count) % 2} if labels else {}))
    return data.make(name="npz", path=str(path), batch_size=8)


def test_pixels_and_random_projection(tmp_path):
    dataset = archive(tmp_path / "a.npz")
    images = dataset.gather(np.arange(10))["image"]
    flat = images.reshape(10, -1) / 255.0
    pixels = extractors.make("pixels", dataset, None, train)
    np.testing.assert_allclose(
        extractors.extract(pixels, lambda i: images[i], 10, mesh.make(1)).features, flat, rtol=1e-6
    )
    random = extractors.make("random", dataset, None, train)
    seen = extractors.extract(random, lambda i: images[i], 10, mesh.make(1))
    assert seen.features.shape == (10, 192) and seen.probabilities is None
    np.testing.assert_allclose(seen.features, flat @ random.arrays, rtol=1e-4, atol=1e-4)
    # Distances keep their size, roughly: the projection is nearly an isometry.
    ratio = np.linalg.norm(seen.features[0] - seen.features[1]) / np.linalg.norm(flat[0] - flat[1])
    assert 0.7 < ratio < 1.3


@pytest.mark.parametrize("name", ["random", "classifier"])
def test_eight_devices_see_what_one_sees(name, tmp_path):
    dataset = archive(tmp_path / "a.npz")
    images = dataset.gather(np.arange(50))["image"]
    if name == "classifier":
        from gen_jax.methods import classifier
        from gen_jax.networks import CLASSIFIERS

        network = CLASSIFIERS["cnn"](classes=2, width=4, features=8)
        method = classifier.classifier(network, None, {}, parts=1)
        params = {"classifier": network.init(jax.random.key(0), images[:1] / 255.0)["params"]}
        apply = jax.jit(lambda v, x: method.features(v, x / 255.0))
        from gen_jax.method import Variables

        extractor = extractors.Extractor(name, apply, Variables(params, {}), {})
    else:
        extractor = extractors.make(name, dataset, None, train)
    one, eight = (extractors.extract(extractor, lambda i: images[i], 50, mesh.make(n)).features for n in (1, 8))
    assert one.shape == eight.shape and np.abs(one - eight).max() <= 1e-5 * np.abs(one).max()


def test_changed_images_are_never_served_from_the_cache(tmp_path):
    first = archive(tmp_path / "a.npz", seed=0)
    extractor = extractors.make("random", first, None, train)
    calls = []
    counted = extractor._replace(apply=lambda *a: calls.append(1) or extractor.apply(*a))
    index = np.arange(first.spec.size)
    seen = extractors.of_dataset(counted, first, index, mesh.make(1))
    again = extractors.of_dataset(counted, archive(tmp_path / "a.npz", seed=0), index, mesh.make(1))
    assert len(calls) == 1, "the same images are served from the cache"
    np.testing.assert_array_equal(seen.features, again.features)
    # One pixel of one image by one level: same file name, same size.
    with np.load(tmp_path / "a.npz") as stored:
        images, labels = stored["images"].copy(), stored["labels"]
    images[7, 0, 0, 0] ^= 1
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    changed = data.make(name="npz", path=str(tmp_path / "a.npz"), batch_size=8)
    other = extractors.of_dataset(counted, changed, index, mesh.make(1))
    assert len(calls) == 2 and not np.array_equal(seen.features, other.features)
    # Other images of the same set are something else too.
    extractors.of_dataset(counted, changed, index[:10], mesh.make(1))
    assert len(calls) == 3


def test_what_does_not_go_with_the_data_is_refused(tmp_path):
    bare = archive(tmp_path / "bare.npz", labels=False)
    for name, weights, message in [
        ("nope", None, "there are: classifier, random, pixels, inception"),
        ("classifier", None, "has no labels to learn"),
        ("inception", None, "give --weights=FILE"),
        ("random", "file.pth", "leave --weights out"),
    ]:
        with pytest.raises(InputError, match=message):
            extractors.make(name, bare, load("gan_digits").data, train, weights)
    assert extractors.default(bare) == "random"
    assert extractors.default(data.make(name="digits", image_size=14, batch_size=8)) == "random"  # no multiple of 4


@pytest.mark.slow
def test_classifier_of_digits_knows_digits():
    config = load("gan_digits")
    dataset = data.make(**config.data)
    extractor = extractors.make("classifier", dataset, config.data, train)
    assert extractor.about["classifier_test_accuracy"] > 0.97
    again = extractors.make("classifier", dataset, config.data, train)
    assert again.about == extractor.about, "trained once, then loaded"
    seen = extractors.of_dataset(extractor, dataset, np.arange(dataset.spec.size), mesh.make(1))
    assert seen.features.shape == (dataset.spec.size, 128) and np.isfinite(seen.features).all()
    np.testing.assert_allclose(seen.probabilities.sum(1), 1.0, rtol=1e-4)


def test_inception_from_a_file_of_the_user(tmp_path, monkeypatch):
    """The whole way with random weights: named after their hash, and never FID unless they are the standard ones."""
    from gen_jax.evaluation import inception_file, scores
    from gen_jax.method import Variables

    seen = {"features": np.zeros((1, 2048), np.float32), "probabilities": np.full((1, 1008), 1 / 1008, np.float32)}
    weights = inception_file.InceptionWeights(Variables({}, {}), "ab" * 32, False, "inception-abababab")
    monkeypatch.setattr(inception_file, "load", lambda path: weights)
    monkeypatch.setattr(
        inception_file,
        "features",
        lambda weights: jax.tree_util.Partial(
            lambda images: {k: np.repeat(v, images.shape[0], 0) + images.mean() for k, v in seen.items()}
        ),
    )
    dataset = archive(tmp_path / "a.npz")
    images = dataset.gather(np.arange(20))["image"]
    for name, score in [("inception-abababab", "fd_inception-abababab"), ("inception", "fid")]:
        monkeypatch.setattr(inception_file, "load", lambda path, name=name: weights._replace(name=name))
        extractor = extractors.make("inception", dataset, None, train, weights="file.pth")
        assert extractor.about == {"extractor_sha256": "ab" * 32, "resizer": inception_file.RESIZER}
        ground = scores.prepare(extractor, dataset, dataset, mesh.make(1), 20, ("frechet",))
        (record,) = scores.generated(ground, lambda seeds: images[: len(seeds)], groups=("frechet",))
        assert record["metric"] == score and "2048" in record["refused"]
        assert record["protocol"]["resizer"] == inception_file.RESIZER


def test_configs_offer_every_extractor_that_needs_no_file():
    choices = SHARED["evaluate.extractor"].choices
    assert set(choices) == {"", *extractors.EXTRACTORS} - {"inception"}
