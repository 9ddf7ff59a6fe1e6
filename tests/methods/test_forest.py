"""The forest against counting, scikit-learn, and tables of every image there is."""

import itertools
import json

import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from scipy import stats
from shrunk import each, shrunk, trained
from sklearn.ensemble import RandomForestClassifier

import gen_jax
from gen_jax import data, methods, randomness
from gen_jax.cli.main import main
from gen_jax.data.condition import Condition
from gen_jax.errors import InputError
from gen_jax.method import Variables
from gen_jax.methods import forest
from gen_jax.methods.codec import level_of
from gen_jax.program import build
from gen_jax.runtime import mesh as meshes
from gen_jax.sample import sampler
from gen_jax.testing import check_sampler

BINARY = np.array([0, 255])
PLAIN = {
    "levels": 2,
    "values": BINARY,
    "context": 2,
    "trees": 3,
    "leaves": 64,
    "least": 1,
    "features": 0.0,
    "rows": 10_000,
    "bootstrap": 1.0,
    "passes": 1,
    "smoothing": 0.5,
    "condition": {},
}
COUNTING = {"trees": 1, "leaves": 4096, "bootstrap": 0.0, "smoothing": 0.0}  # one tree that tells all contexts apart


def grown(folder, images, labels=None, binarize="none", key=0, **options):
    """(Method, Variables, the training images uint8 [N, H, W]) of a forest grown on nine tenths of these images."""
    labelled = {} if labels is None else {"labels": labels}
    np.savez(folder / "set.npz", images=images, **labelled)
    dataset = data.make(name="npz", path=str(folder / "set.npz"), batch_size=8, binarize=binarize)
    method = forest.forest(dataset.spec.shape, **{**PLAIN, **options})
    state, metrics = method.fit(method.init(None, None, None), dataset, jax.random.key(key))
    assert np.isfinite(float(metrics["loss"].total))
    return method, Variables({}, state.collections), dataset.gather(np.arange(dataset.spec.size))["image"][..., 0]


def correlated(count, height, width, seed=0):
    """Black and white images uint8 whose pixels follow their left neighbour and the one above."""
    rng, images = np.random.default_rng(seed), np.zeros((count, height, width), np.uint8)
    for y, x in np.ndindex(height, width):
        above = images[:, y - 1, x] > 0 if y else False
        left = images[:, y, x - 1] > 0 if x else False
        images[:, y, x] = 255 * (rng.random(count) < 0.2 + 0.35 * above + 0.3 * left)
    return images


def every_image(height, width, values=BINARY):
    """All images with these values, uint8 [values ** pixels, H, W, 1], the last pixel changing fastest."""
    found = itertools.product(values, repeat=height * width)
    return np.array(list(found), np.uint8).reshape(-1, height, width, 1)


def log_prob(method, variables, images, condition=None):
    """In float64, as floats in [0, 1] are given."""
    with jax.enable_x64(True):
        found = jax.jit(method.log_prob)(
            variables, images.reshape(len(images), *images.shape[1:3], 1) / 255.0, condition or {}
        )
        assert found.dtype == np.float64
        return np.asarray(found)


def conditionals(table, pixels):
    """p(pixel = 1 | the pixels before it) of a table of all binary images: [2] * pixels, for each position."""
    cube = table.reshape([2] * pixels)
    prefixes = [cube.sum(tuple(range(i, pixels))) for i in range(pixels + 1)]
    return [prefixes[i + 1][..., 1] / prefixes[i] for i in range(pixels)]


def walked(table, pixels, power=1.0, kept=None):
    """The table of drawing one pixel after the other from p ** power, those in `kept` {position: value} not drawn."""
    ones = conditionals(table, pixels)
    found = np.ones([2] * pixels)
    for image in np.ndindex(found.shape):
        for i, value in enumerate(image):
            p = ones[i][image[:i]]
            p = p**power / (p**power + (1 - p) ** power)
            found[image] *= (value == kept[i]) if kept and i in kept else (p if value else 1 - p)
    return found.ravel()


def check_frequencies(images, expected):
    """The chi-square test of drawn images against a table over every image."""
    pixels = images.reshape(len(images), -1) > 0.5
    seen = np.bincount(pixels @ (2 ** np.arange(pixels.shape[1])[::-1]), minlength=len(expected))
    assert seen[expected == 0].sum() == 0
    possible = expected > 0
    assert stats.chisquare(seen[possible], expected[possible] * len(images)).pvalue > 1e-3


def test_one_full_tree_is_the_empirical_conditional(tmp_path):
    """Contexts written out pixel by pixel and counted in a dict."""
    method, variables, images = grown(tmp_path, correlated(120, 3, 3), **COUNTING)
    levels, seen = images // 255, {}

    def context(image, y, x):
        window = [(y + dy, x + dx) for dy in range(-2, 1) for dx in range(-2, 3) if (dy, dx) < (0, 0)]
        inside = lambda a, b: a >= 0 and 0 <= b < 3
        return (y, x, *(int(image[a, b]) if inside(a, b) else None for a, b in window))

    for image in levels:
        for y, x in np.ndindex(3, 3):
            seen.setdefault(context(image, y, x), []).append(image[y, x])
    expected = [
        sum(np.log(np.mean(np.array(seen[context(image, y, x)]) == image[y, x])) for y, x in np.ndindex(3, 3))
        for image in levels
    ]
    np.testing.assert_allclose(log_prob(method, variables, images), expected, rtol=1e-12)
    # In the types that the house computes in.
    plain = method.log_prob(variables, images[..., None] / np.float32(255), {})
    np.testing.assert_allclose(plain, expected, rtol=1e-5)


def test_one_leaf_is_the_smoothed_marginal(tmp_path):
    """(n_c + 1/2) / (n + K/2), for levels that were never seen too."""
    images = np.random.default_rng(0).choice([0, 128], (40, 2, 2), p=[0.3, 0.7]).astype(np.uint8)
    method, variables, images = grown(tmp_path, images, levels=3, values=np.arange(256), least=1000, trees=2)
    size = np.bincount(np.rint(np.arange(256) / 127.5).astype(int))
    for level, value in enumerate([0, 128, 255]):
        p = ((images == value).sum() + 0.5) / (images.size + 1.5) / size[level]
        found = log_prob(method, variables, np.full((1, 2, 2), value, np.uint8))
        np.testing.assert_allclose(found, 4 * np.log(p), rtol=1e-12)


@pytest.mark.parametrize("bootstrap", [0.0, 0.7])
def test_probabilities_of_all_images_sum_to_one(bootstrap, tmp_path):
    method, variables, _ = grown(tmp_path, correlated(100, 3, 3), bootstrap=bootstrap)
    p = np.exp(log_prob(method, variables, every_image(3, 3)))
    assert len(p) == 512 and abs(p.sum() - 1) < 1e-12 and p.min() > 0


def test_probabilities_of_all_grey_images_sum_to_one(tmp_path):
    """Of the 8-bit images themselves, whatever the number of levels: 2^16 images of two pixels."""
    images = np.random.default_rng(0).integers(0, 256, (50, 1, 2), np.uint8)
    method, variables, _ = grown(tmp_path, images, levels=5, values=np.arange(256))
    p = np.exp(log_prob(method, variables, every_image(1, 2, np.arange(256))))
    assert len(p) == 2**16 and abs(p.sum() - 1) < 1e-12


@pytest.mark.parametrize("levels", [2, 3, 16, 17, 255, 256])
def test_levels_are_the_nearest_grey_values(levels):
    values = np.arange(256)
    grey = np.arange(levels) * 255 / (levels - 1)
    np.testing.assert_array_equal(level_of(values, levels), np.abs(values[:, None] - grey).argmin(1))
    shown = np.rint(grey).astype(int)
    np.testing.assert_array_equal(level_of(shown, levels), np.arange(levels))


@pytest.mark.parametrize(("leaves", "most"), [(200, 256), (7, 2), (2, 4)])
def test_descent_ends_in_the_leaves_of_scikit_learn(leaves, most):
    """Bit for bit, on contexts that no tree has seen."""
    rng = np.random.default_rng(leaves)
    old, new = (rng.integers(-1, most, (400, 9)).astype(np.float32) for _ in range(2))
    machine = RandomForestClassifier(5, max_leaf_nodes=leaves, random_state=0).fit(
        old, old.sum(1) + rng.normal(size=400) > most * 4
    )
    leaf = jax.vmap(forest.descend, (None, 0))(forest.harvest(machine, leaves, 2), new.astype(np.int32))
    for i, tree in enumerate(machine.estimators_):
        numbers = np.flatnonzero(tree.tree_.children_left < 0)
        np.testing.assert_array_equal(numbers[np.asarray(leaf)[:, i]], machine.apply(new)[:, i])


def test_likelihood_is_that_of_predict_proba(tmp_path):
    """Without a bootstrap the leaves of scikit-learn have counted everything too; it knows what contexts we make."""
    images = correlated(150, 4, 5)
    method, variables, images = grown(
        tmp_path, images, bootstrap=0.0, smoothing=0.0, trees=4, leaves=20, least=30, features=0.3, context=3
    )
    levels = (images // 255).astype(np.int16)
    n, y, x = np.unravel_index(np.arange(levels.size), levels.shape)
    # The seed that fit makes of key 0, and the order that it draws the contexts in.
    seed = int(jax.random.bits(jax.random.key(0)) >> 1)
    machine = RandomForestClassifier(
        4, max_leaf_nodes=20, min_samples_leaf=30, max_features=0.3, bootstrap=False, random_state=seed
    )
    seen = forest.contexts(levels, n, y, x, 3, {})
    order = np.random.default_rng(seed).choice(levels.size, levels.size, replace=False, shuffle=False)
    machine.fit(seen[order], levels.ravel()[order])
    p = machine.predict_proba(seen)[np.arange(levels.size), levels.ravel()]
    expected = np.log(p).reshape(len(levels), -1).sum(1)
    np.testing.assert_allclose(log_prob(method, variables, images), expected, rtol=1e-12)


def test_samples_have_the_probabilities_that_log_prob_gives(tmp_path):
    method, variables, _ = grown(tmp_path, correlated(100, 2, 3))
    sample = jax.jit(
        lambda key, count: method.sample(variables, jax.random.split(key, count), {}, 1.0), static_argnums=1
    )
    images = every_image(2, 3) / np.float32(255)
    check_sampler(lambda x: method.log_prob(variables, x, {}), sample, support=images, draws=4000)


def test_samples_follow_the_table_of_all_images_at_a_temperature(tmp_path):
    method, variables, _ = grown(tmp_path, correlated(100, 2, 3))
    table = np.exp(log_prob(method, variables, every_image(2, 3)))
    images = jax.jit(method.sample)(variables, randomness.image_keys(np.arange(4000)), {}, 0.5)
    assert images.shape == (4000, 2, 3, 1) and images.dtype == np.float32
    check_frequencies(np.asarray(images), walked(table, 6, power=2))


def test_temperature_zero_takes_the_most_likely_level(tmp_path):
    method, variables, _ = grown(tmp_path, correlated(100, 2, 3))
    table = np.exp(log_prob(method, variables, every_image(2, 3)))
    images = method.sample(variables, randomness.image_keys(np.arange(3)), {}, 0.0)
    best = every_image(2, 3)[walked(table, 6, power=1e3).argmax()] / 255
    for image in images:
        np.testing.assert_array_equal(image, best)


def test_completion_is_the_conditional_on_what_stands_before(tmp_path):
    """Pixels 0 and 3 of four are kept: 1 and 2 are drawn given what stands above and to the left, never 3."""
    method, variables, _ = grown(tmp_path, correlated(100, 2, 2), smoothing=2.0)
    table = np.exp(log_prob(method, variables, every_image(2, 2)))
    mask = np.broadcast_to(np.array([[1.0, 0], [0, 1]], np.float32)[..., None], (4000, 2, 2, 1))
    images = np.broadcast_to(np.array([[1.0, 0], [0, 1]], np.float32)[..., None], (4000, 2, 2, 1))
    found = jax.jit(method.complete)(variables, images, mask, randomness.image_keys(np.arange(4000)), {})
    check_frequencies(np.asarray(found), walked(table, 4, kept={0: 1, 3: 1}))


def test_what_is_kept_stays_as_it_is(tmp_path):
    """Also a grey that is no level."""
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 3), np.uint8)
    method, variables, _ = grown(tmp_path, images, levels=4, values=np.arange(256))
    given = images[:5, :, :, None] / np.float32(255)
    mask = np.zeros((5, 3, 3, 1), np.float32)
    mask[:, :2] = 1
    found = np.asarray(method.complete(variables, given, mask, randomness.image_keys(np.arange(5)), {}))
    np.testing.assert_array_equal(found[:, :2], given[:, :2])
    assert set(np.unique(found[:, 2])) <= set(np.linspace(0, 1, 4, dtype=np.float32))


def test_label_decides(tmp_path):
    """Class 0 is dark, class 1 bright."""
    rng, labels = np.random.default_rng(0), np.arange(200) % 2
    images = 255 * (rng.random((200, 3, 3)) < np.where(labels, 0.9, 0.1)[:, None, None]).astype(np.uint8)
    two = {"label": Condition("label", (), 2, ("0", "1"))}
    method, variables, _ = grown(tmp_path, images, labels, condition=two, features=1.0)
    p = [log_prob(method, variables, images, {"label": np.full(200, i, np.int32)}) for i in range(2)]
    assert ((p[1] > p[0]) == labels).mean() > 0.95
    total = np.exp(log_prob(method, variables, every_image(3, 3), {"label": np.ones(512, np.int32)})).sum()
    assert abs(total - 1) < 1e-12
    keys = randomness.image_keys(np.zeros(200, int))
    drawn = method.sample(variables, jax.random.split(keys[0], 200), {"label": labels.astype(np.int32)}, 1.0)
    bright = np.asarray(drawn).mean((1, 2, 3))
    assert bright[labels == 1].mean() > 0.8 and bright[labels == 0].mean() < 0.2


def test_passes_see_other_noise_and_a_key_decides(tmp_path):
    """Grey 128, binarised anew at each pass: 20 of them tell that each pixel is a coin."""
    images = np.full((30, 2, 2), 128, np.uint8)
    options = {"binarize": "dynamic", "passes": 20, "least": 2000, "trees": 1}
    method, variables, _ = grown(tmp_path, images, **options)
    counts = variables.collections["forest"]["counts"][0].sum(0)
    assert counts.sum() == 20 * 27 * 4 and abs(counts[1] / counts.sum() - 0.5) < 0.05
    again, other = (grown(tmp_path, images, key=key, **options)[1] for key in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, variables, again)
    assert (counts != other.collections["forest"]["counts"][0].sum(0)).any()


@pytest.mark.slow
def test_eight_devices_equal_one(tmp_path):
    method, variables, images = grown(tmp_path, correlated(100, 3, 3))
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    one, eight = sampler(method), sampler(method, mesh)
    seeds = np.arange(64)
    np.testing.assert_array_equal(one.sample(variables, seeds), eight.sample(variables, seeds))
    mask = (np.arange(9).reshape(3, 3, 1) < 4).astype(np.float32)
    given = images[:64, :, :, None]
    np.testing.assert_array_equal(*(s.complete(variables, given, mask, seeds) for s in (one, eight)))
    spread = meshes.put(meshes.batched(mesh), given / np.float32(255))
    found = jax.jit(method.log_prob)(variables, spread, {})
    assert found.sharding.is_equivalent_to(meshes.batched(mesh), 1)
    np.testing.assert_allclose(found, method.log_prob(variables, given / np.float32(255), {}), rtol=1e-6)


@pytest.mark.parametrize("name", each(["forest_digits", "forest_mnist"]))
def test_shipped_config_is_grown_scored_and_opened(name, tmp_path, capsys):
    run = tmp_path / "run"
    trained(shrunk(name, tmp_path, data__binarize="threshold"), run)
    assert (run / "samples/step_000001.png").exists()
    assert main(["evaluate", str(run), "--seeds=1", "--extractor=pixels"]) == 0
    scores = {row["metric"]: row for row in json.loads(capsys.readouterr().out)}
    assert scores["nll"]["protocol"]["likelihood"] == "exact" and scores["nll"]["protocol"]["objective"] == {}
    opened = gen_jax.load(run)
    assert set(np.unique(opened.sample([3, 4]))) <= {0, 255}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model__levels": 1}, "model.levels=1: pixels of npz have 2 values"),
        ({"model__levels": 16}, "model.levels=16: pixels of npz have 2 values"),
        ({"data__path": "colour.npz"}, "method=forest: npz has colour images; set data.channels=1"),
        ({"data__path": "bare.npz", "model__condition": "label"}, "data set npz has no label"),
        ({"model__condition": "text"}, "model.condition=text: no such choice"),
        ({"model__leaves": 1}, "model.leaves=1: must be >= 2"),
        ({"model__levels": 257}, "model.levels=257: must be <= 256"),
    ],
)
def test_what_does_not_go_together_is_refused(change, message, tmp_path):
    np.savez(tmp_path / "colour.npz", images=np.zeros((20, 16, 16, 3), np.uint8))
    np.savez(tmp_path / "bare.npz", images=np.random.default_rng(0).integers(0, 256, (20, 16, 16), np.uint8))
    change = {k: tmp_path / v if k == "data__path" else v for k, v in change.items()}
    with pytest.raises(InputError) as refused:
        build(shrunk("forest_digits", tmp_path, **change))
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_grey_images_have_as_many_levels_as_values(tmp_path):
    config = shrunk("forest_digits", tmp_path, data__binarize="none")
    method = methods.make(config, build(config).dataset.spec)
    assert jax.eval_shape(method.init, None, None, None).collections["forest"]["counts"].shape == (2, 8, 256)
