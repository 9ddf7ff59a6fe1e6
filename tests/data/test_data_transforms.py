import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gen_jax.data import transforms

VALUES = np.arange(256, dtype=np.uint8)


def make(seed=0, **options):
    """(batch, key) -> batch, compiled."""
    transform = jax.jit(transforms.make(**options))
    return lambda batch, key: transform(batch, key, np.uint32(seed))


def batch_of(count, seed=0, shape=(8, 8, 1)):
    image = np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)
    index = np.random.default_rng(seed).permutation(count).astype(np.int32) + 100
    return {"image": image, "index": index, "row": np.arange(count, dtype=np.int32)}


def test_dynamic_has_the_exact_probabilities():
    draws = 4000
    image = np.broadcast_to(VALUES.reshape(16, 16, 1), (draws, 16, 16, 1))
    batch = {"image": image, "row": np.arange(draws, dtype=np.int32)}
    out = np.asarray(make(binarize="dynamic", flip=False)(batch, jax.random.key(1))["image"])
    assert out.dtype == np.uint8
    assert set(np.unique(out)) == {0, 255}
    frequency = (out == 255).mean(0).ravel()
    p = VALUES / 255
    assert frequency[0] == 0 and frequency[255] == 1
    assert (np.abs(frequency - p) <= 5 * np.sqrt(p * (1 - p) / draws)).all()


def test_a_pixel_is_white_where_the_noise_is_below_it(monkeypatch):
    image = VALUES.reshape(1, 16, 16, 1)
    keys = jax.random.split(jax.random.key(0), 1)
    for noise, first_white in ((0.0, 1), (0.5, 128), (1 - 2**-24, 255)):  # the ends of [0, 1), and the middle
        monkeypatch.setattr(jax.random, "uniform", lambda key, shape, noise=noise: jnp.full(shape, noise))
        out = np.asarray(transforms.bernoulli(jnp.asarray(image), keys))
        assert (out.ravel() == np.where(first_white > VALUES, 0, 255)).all()


def test_dynamic_is_drawn_anew_for_each_key_and_row():
    transform = make(binarize="dynamic", flip=False)
    batch = {"image": np.full((8, 16, 16, 1), 128, np.uint8), "row": np.arange(8, dtype=np.int32)}
    first, second = (np.asarray(transform(batch, jax.random.key(k))["image"]) for k in (0, 1))
    assert len({image.tobytes() for image in [*first, *second]}) == 16
    part = jax.tree.map(lambda array: array[4:6], batch)  # the noise belongs to the row, not to the batch
    assert (np.asarray(transform(part, jax.random.key(0))["image"]) == first[4:6]).all()


def test_static_is_a_function_of_the_index_alone():
    transform = make(binarize="static", flip=False, seed=5)
    batch = batch_of(16)
    expected = np.asarray(transform(batch, jax.random.key(0))["image"])
    assert set(np.unique(expected)) == {0, 255}
    shuffled = np.random.default_rng(2).permutation(16)
    moved = {
        "image": batch["image"][shuffled],
        "index": batch["index"][shuffled],
        "row": np.arange(16, dtype=np.int32) + 7,
    }
    assert (np.asarray(transform(moved, jax.random.key(99))["image"]) == expected[shuffled]).all()
    alone = jax.tree.map(lambda array: array[3:4], batch)
    assert (np.asarray(transform(alone, jax.random.key(4))["image"]) == expected[3:4]).all()
    other_seed = make(binarize="static", flip=False, seed=6)(batch, jax.random.key(0))["image"]
    assert (np.asarray(other_seed) != expected).any()


@pytest.mark.parametrize("seed", [0, 5, 2**31, 2**32 - 1])
def test_a_traced_seed_draws_the_bits_of_a_written_one(seed):
    batch = batch_of(4)
    traced = make(binarize="static", flip=False, seed=seed)(batch, jax.random.key(0))["image"]
    written = transforms.make(binarize="static", flip=False)(batch, jax.random.key(0), seed)["image"]
    assert (np.asarray(traced) == np.asarray(written)).all()
    keys = transforms.keys_of(jax.random.key(seed, impl="threefry2x32"), batch["index"])
    assert (np.asarray(written) == np.asarray(transforms.bernoulli(jnp.asarray(batch["image"]), keys))).all()


def test_static_draws_from_the_same_probabilities():
    draws = 4000
    image = np.broadcast_to(VALUES.reshape(16, 16, 1), (draws, 16, 16, 1))
    number = np.arange(draws, dtype=np.int32)
    transform = make(binarize="static", flip=False)
    out = np.asarray(transform({"image": image, "index": number, "row": number}, jax.random.key(1))["image"])
    p = VALUES / 255
    frequency = (out == 255).mean(0).ravel()
    assert (np.abs(frequency - p) <= 5 * np.sqrt(p * (1 - p) / draws)).all()


def test_threshold():
    transform = make(binarize="threshold", flip=False)
    out = transform({"image": VALUES.reshape(1, 16, 16, 1)}, jax.random.key(0))["image"]
    assert (np.asarray(out).ravel() == np.repeat(np.uint8([0, 255]), 128)).all()


def test_flip_mirrors_half_of_the_images():
    count = 4000
    image = np.broadcast_to(np.arange(12, dtype=np.uint8).reshape(1, 2, 3, 2), (count, 2, 3, 2))
    batch = {"image": image, "row": np.arange(count, dtype=np.int32)}
    out = np.asarray(make(binarize="none", flip=True)(batch, jax.random.key(0))["image"])
    same = (out == image).all((1, 2, 3))
    mirrored = (out == image[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert abs(mirrored.mean() - 0.5) < 5 * np.sqrt(0.25 / count)


def test_flip_leaves_the_static_bits_of_an_image_alone():
    batch = batch_of(32)
    plain = np.asarray(make(binarize="static", flip=False, seed=1)(batch, jax.random.key(0))["image"])
    both = np.asarray(make(binarize="static", flip=True, seed=1)(batch, jax.random.key(0))["image"])
    mirrored = (both != plain).any((1, 2, 3))
    assert 0 < mirrored.sum() < 32
    assert (both[mirrored] == plain[mirrored][:, :, ::-1]).all()


def test_an_image_and_the_image_it_is_asked_for_by_are_mirrored_together():
    count = 400
    image = np.broadcast_to(np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1) * 50, (count, 2, 3, 1))
    twin = np.broadcast_to(np.arange(40, dtype=np.uint8).reshape(1, 4, 5, 2), (count, 4, 5, 2))
    condition = {"edges": twin, "label": np.arange(count, dtype=np.int32)}
    batch = {"image": image, "row": np.arange(count, dtype=np.int32), "condition": condition}
    batch["index"] = batch["row"]
    alone = {name: value for name, value in batch.items() if name != "condition"}
    for binarize in ("none", "static", "dynamic"):
        out = make(binarize=binarize, flip=True, twins=["edges"])(batch, jax.random.key(0))
        plain = make(binarize=binarize, flip=False, twins=["edges"])(batch, jax.random.key(0))
        turned = (np.asarray(out["condition"]["edges"]) == twin[:, :, ::-1]).all((1, 2, 3))
        kept = (np.asarray(out["condition"]["edges"]) == twin).all((1, 2, 3))
        assert (turned ^ kept).all() and 150 < turned.sum() < 250
        before, after = np.asarray(plain["image"]), np.asarray(out["image"])
        assert (after == np.where(turned[:, None, None, None], before[:, :, ::-1], before)).all()
        assert (np.asarray(out["condition"]["label"]) == condition["label"]).all()
        assert (np.asarray(plain["condition"]["edges"]) == twin).all()  # no noise ever touches it
        lone = make(binarize=binarize, flip=True)(alone, jax.random.key(0))["image"]
        assert (np.asarray(lone) == after).all()  # the coin is the one that images without twins have


def test_nothing_asked_nothing_changed():
    batch = {**batch_of(4), "condition": {"label": np.arange(4, dtype=np.int32)}}
    out = make(binarize="none", flip=False)(batch, jax.random.key(0))
    assert jax.tree.all(jax.tree.map(lambda a, b: (np.asarray(a) == b).all(), dict(out), batch))


@pytest.mark.parametrize("binarize", ["dynamic", "static"])
def test_eight_devices_draw_what_one_draws(binarize):
    if jax.device_count() < 8:
        pytest.skip("needs 8 (simulated) devices")
    transform = make(binarize=binarize, flip=True)
    batch = batch_of(64)
    expected = transform(batch, jax.random.key(7))["image"]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    sharded = jax.device_put(jax.tree.map(jnp.asarray, batch), sharding)
    out = jax.jit(transform, out_shardings=sharding)(sharded, jax.random.key(7))["image"]
    assert (np.asarray(out) == np.asarray(expected)).all()
    assert out.sharding.is_equivalent_to(sharding, out.ndim)
