"""What holds for every architecture: shapes, sizes, conditions, precision, independence of examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import networks
from gen_jax.data.condition import Condition
from gen_jax.errors import InputError
from gen_jax.networks import pyramid

SHAPES = [(8, 8, 1), (16, 16, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (16, 32, 3), (28, 20, 1)]
Z = 6

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
every_pair = pytest.mark.parametrize("name", networks.GENERATORS)
every_coder = pytest.mark.parametrize("name", networks.ENCODERS)


def _labels(*values):
    return {"label": jnp.array(values, jnp.int32)}


def _classes(count):
    """What a network is built with for labels of so many classes."""
    return (("label", Condition("label", (), count)),) if count else ()


def _images(shape, batch=2):
    return jax.random.uniform(jax.random.key(7), (batch, *shape), minval=-1.0)


def _size(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def _build(module, *inputs, **options):
    """Initialised under jit: many small eager operations are slower than one compilation."""
    return jax.jit(lambda: module.init(jax.random.key(0), *inputs, **options))()


@pytest.mark.parametrize(
    ("shape", "count", "base"),
    [
        ((8, 8, 1), 1, (4, 4)),
        ((16, 16, 1), 2, (4, 4)),
        ((28, 28, 1), 2, (7, 7)),
        ((32, 32, 3), 3, (4, 4)),
        ((64, 64, 3), 4, (4, 4)),
        ((8, 64, 3), 1, (4, 32)),
        ((20, 28, 3), 2, (5, 7)),
    ],
)
def test_stages(shape, count, base):
    assert pyramid.stages(shape) == count
    assert pyramid.base(shape) == base


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((30, 30, 1), r"data\.image_size=30: must be a multiple of 4"),
        ((32, 30, 1), r"data\.image_size=\(32, 30\): must be a multiple of 4"),
        ((4, 4, 1), r"data\.image_size=4: .* at least 8"),
        ((32, 32, 2), r"data\.channels=2: must be 1"),
    ],
)
def test_bad_shapes_are_refused_by_name(shape, words):
    with pytest.raises(InputError, match=words):
        pyramid.stages(shape)
    with pytest.raises(InputError, match=words):
        networks.GENERATORS["convnet"](shape).init(jax.random.key(0), jnp.zeros((1, Z)))


def test_up_and_down():
    x = jnp.arange(8.0).reshape(1, 2, 2, 2)
    assert pyramid.up(x)[0, :, :, 0].tolist() == [[0, 0, 2, 2], [0, 0, 2, 2], [4, 4, 6, 6], [4, 4, 6, 6]]
    np.testing.assert_array_equal(pyramid.down(pyramid.up(x)), x)
    np.testing.assert_array_equal(pyramid.down(x), [[[[3.0, 4.0]]]])


@every_pair
@every_shape
def test_shapes_of_adversarial_pairs(name, shape):
    def both(classes, condition, train):
        generator = networks.GENERATORS[name](shape, width=32, conditions=_classes(classes))
        discriminator = networks.DISCRIMINATORS[name](shape, width=32, conditions=_classes(classes))
        images, _ = generator.init_with_output(jax.random.key(0), jnp.zeros((2, Z)), condition, train=train)
        logits, _ = discriminator.init_with_output(jax.random.key(0), images, condition, train=train)
        return images, logits

    for classes, condition in ((0, None), (3, _labels(0, 2))):
        images, logits = jax.eval_shape(lambda c=classes, d=condition: both(c, d, True))
        assert images.shape == (2, *shape) and images.dtype == jnp.float32
        assert logits.shape == (2,) and logits.dtype == jnp.float32


@every_coder
@every_shape
def test_shapes_of_coders(name, shape):
    def both(classes, condition):
        encoder = networks.ENCODERS[name](latent_size=Z, conditions=_classes(classes))
        decoder = networks.DECODERS[name](shape, outputs=2, conditions=_classes(classes))
        (mean, log_std), _ = encoder.init_with_output(jax.random.key(0), jnp.zeros((2, *shape)), condition)
        raw, variables = decoder.init_with_output(jax.random.key(0), mean, condition)
        return mean, log_std, raw, variables["params"][networks.OUTPUT]["bias"]

    for classes, condition in ((0, None), (3, _labels(0, 2))):
        mean, log_std, raw, bias = jax.eval_shape(lambda c=classes, d=condition: both(c, d))
        assert mean.shape == log_std.shape == (2, Z)
        assert raw.shape == (2, *shape, 2)
        assert bias.shape == (2 * (np.prod(shape) if name == "mlp" else shape[2]),)


def _dense(before, after):
    return before * after + after


def _kernel(size, before, after):
    return size * size * before * after


def test_parameters_of_dcgan():
    """Table of StudioGAN's DCGAN; a batch norm has two numbers a channel, a conv before one no bias."""
    generator = _dense(128, 4 * 4 * 512)
    for before, after in ((512, 256), (256, 128), (128, 64)):
        generator += _kernel(4, before, after) + 2 * after
    generator += _kernel(3, 64, 3) + 3
    critic, before = 0, 3
    for after in (64, 128, 256):
        critic += _kernel(3, before, after) + 2 * after + _kernel(4, after, after) + 2 * after
        before = after
    critic += _kernel(3, 256, 512) + 2 * 512 + _dense(512, 1)
    assert (generator, critic) == (3_811_907, 2_929_601)
    _expect("dcgan", (32, 32, 3), 128, generator, critic)


def test_parameters_of_sngan():
    """Table 4 of Miyato et al. 2018; biases only where no batch norm follows."""
    block = _kernel(3, 256, 256) * 2 + _kernel(1, 256, 256) + 2 * 2 * 256
    generator = _dense(128, 4 * 4 * 256) + 3 * block + 2 * 256 + _kernel(3, 256, 3) + 3
    conv = _kernel(3, 128, 128) + 128
    first = _kernel(3, 3, 128) + 128 + conv + _kernel(1, 3, 128) + 128
    second = 2 * conv + _kernel(1, 128, 128) + 128
    critic = first + second + 4 * conv + _dense(128, 1)
    _expect("sngan", (32, 32, 3), 128, generator, critic)


def test_parameters_of_convnet():
    generator = _dense(64, 4 * 4 * 64) + _kernel(3, 64, 64) + 64 + _kernel(3, 64, 32) + 32 + _kernel(3, 32, 1) + 1
    critic = _kernel(3, 1, 32) + 32 + _kernel(3, 32, 64) + 64 + _kernel(3, 64, 64) + 64 + _dense(4 * 4 * 64, 1)
    assert (generator, critic) == (122_241, 56_769)  # as its docstring says
    _expect("convnet", (16, 16, 1), 64, generator, critic)


def _expect(name, shape, latent_size, generator, critic):
    latents = jnp.zeros((1, latent_size))
    built = jax.eval_shape(lambda: networks.GENERATORS[name](shape).init(jax.random.key(0), latents))
    assert _size(built) == generator
    images = jnp.zeros((1, *shape))
    built = jax.eval_shape(lambda: networks.DISCRIMINATORS[name](shape).init(jax.random.key(0), images))
    assert _size(built) == critic


def test_parameters_of_coders():
    def shapes(module, *inputs):
        return jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs))

    encoder = shapes(networks.ENCODERS["mlp"](50), jnp.zeros((1, 28, 28, 1)))
    decoder = shapes(networks.DECODERS["mlp"]((28, 28, 1)), jnp.zeros((1, 50)))
    assert _size(encoder) == _dense(784, 200) + _dense(200, 200) + 2 * _dense(200, 50)
    assert _size(decoder) == _dense(50, 200) + _dense(200, 200) + _dense(200, 784)
    encoder = shapes(networks.ENCODERS["conv"](50), jnp.zeros((1, 28, 28, 1)))
    decoder = shapes(networks.DECODERS["conv"]((28, 28, 1)), jnp.zeros((1, 50)))
    maps, hidden = 7 * 7 * 64, 256
    convolutions = _kernel(4, 1, 32) + 32 + _kernel(4, 32, 64) + 64
    assert _size(encoder) == convolutions + _dense(maps, hidden) + 2 * _dense(hidden, 50)
    convolutions = _kernel(4, 64, 32) + 32 + _kernel(4, 32, 1) + 1
    assert _size(decoder) == _dense(50, hidden) + _dense(hidden, maps) + convolutions


def test_mlp_starts_as_the_paper_says():
    params = _build(networks.DECODERS["mlp"]((28, 28, 1)), jnp.zeros((1, 50)))["params"]
    kernel = params[networks.OUTPUT]["kernel"]
    limit = np.sqrt(6 / (200 + 784))
    assert 0.99 * limit < jnp.abs(kernel).max() <= limit
    assert all(not layer["bias"].any() for layer in params.values())


def test_dcgan_starts_orthogonal():
    params = _build(networks.GENERATORS["dcgan"]((16, 16, 1), width=32), jnp.zeros((1, Z)))["params"]
    rows = params["ConvTranspose_0"]["kernel"].transpose(2, 0, 1, 3).reshape(32, -1)
    np.testing.assert_allclose(rows @ rows.T, np.eye(32), atol=1e-5)
    params = _build(networks.DISCRIMINATORS["dcgan"]((16, 16, 1), width=32), _images((16, 16, 1)))["params"]
    columns = params["Conv_4"]["kernel"].reshape(-1, 32)
    np.testing.assert_allclose(columns.T @ columns, np.eye(32), atol=1e-5)


@pytest.mark.parametrize("name", ["dcgan", "sngan"])
def test_no_bias_before_a_batch_norm(name):
    """Such a bias has no effect but rounding, which Adam amplifies."""
    generator = networks.GENERATORS[name]((8, 8, 1), width=8)
    variables = _build(generator, jnp.zeros((4, Z)))
    latents = jax.random.normal(jax.random.key(1), (4, Z))

    def loss(params):
        images, _ = generator.apply({**variables, "params": params}, latents, train=True, mutable=["batch_stats"])
        return (images * _images((8, 8, 1), 4)).sum()

    grads, _ = jax.tree.flatten_with_path(jax.jit(jax.grad(loss))(variables["params"]))
    for path, gradient in grads:
        assert jnp.abs(gradient).max() > 1e-4, jax.tree_util.keystr(path)


@every_pair
def test_generator_is_bounded_and_examples_are_independent(name):
    generator = networks.GENERATORS[name]((8, 8, 1), width=8)
    latents = 9 * jax.random.normal(jax.random.key(1), (4, Z))
    variables = _build(generator, latents)
    apply = jax.jit(lambda latents: generator.apply(variables, latents))
    images = apply(latents)
    assert jnp.abs(images).max() <= 1
    np.testing.assert_allclose(images[2:], apply(latents[2:]), atol=1e-6)
    influence = jax.jit(jax.grad(lambda latents: generator.apply(variables, latents)[1].sum()))(latents)
    assert jnp.any(influence != 0, -1).tolist() == [False, True, False, False]


@pytest.mark.parametrize(("name", "kind"), [("dcgan", "batch"), ("dcgan", "spectral"), ("sngan", "spectral")])
def test_only_training_changes_collections(name, kind):
    collection = {"batch": "batch_stats", "spectral": "spectral"}[kind]
    images = _images((8, 8, 1))
    discriminator = networks.DISCRIMINATORS[name]((8, 8, 1), width=8, norm=kind)
    variables = _build(discriminator, images)
    for train in (False, True):
        apply = jax.jit(
            lambda variables, train=train: discriminator.apply(variables, images, train=train, mutable=[collection])
        )
        _, changed = apply(variables)
        before, after = (jax.tree.leaves(tree[collection]) for tree in (variables, changed))
        same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        assert all(same) != train


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_discriminator_examples_are_independent_without_batch_norm(norm, classes):
    images, condition = _images((8, 8, 1), 3), _labels(0, 1, 2) if classes else None
    discriminator = networks.DISCRIMINATORS["dcgan"]((8, 8, 1), width=8, norm=norm, conditions=_classes(classes))
    variables = _build(discriminator, images, condition)
    logit = lambda images: discriminator.apply(variables, images, condition, train=True)[1]  # noqa: E731
    influence = jax.jit(jax.grad(logit))(images)
    assert jnp.any(influence != 0, (1, 2, 3)).tolist() == [False, True, False]


def _output_and_gradient(network, variables, inputs):
    """A compiled function: condition -> output [B, ...], gradients of the parameters."""

    @jax.jit
    def both(condition):
        def loss(params):
            outputs = jax.tree.leaves(network.apply({**variables, "params": params}, inputs, condition))
            flat = jnp.concatenate([output.reshape(len(inputs), -1) for output in outputs], 1)
            return (flat**2).sum(), flat

        (_, flat), grads = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        return flat, grads

    return both


def _used_rows_get_gradients(grads, alone=True):
    """Of labels 0 and 1 out of 3; `alone`: the row of label 2 gets none."""
    leaves = jax.tree.leaves_with_path(grads)
    tables = [leaf for path, leaf in leaves if "embedding" in jax.tree_util.keystr(path)]
    assert tables
    for table in tables:
        assert jnp.any(table != 0, -1).tolist() == [True, True, not alone]


@pytest.mark.parametrize("table", ["GENERATORS", "DISCRIMINATORS"])
@every_pair
def test_labels_matter(name, table):
    inputs = jnp.ones((3, Z)) if table == "GENERATORS" else _images((8, 8, 1), 3)
    network = getattr(networks, table)[name]((8, 8, 1), width=8, conditions=_classes(3))
    variables = _build(network, inputs, _labels(0, 1, 1))
    # Conditional batch norm starts equal for all classes: move every parameter a little.
    variables["params"] = jax.tree.map(
        lambda leaf: leaf + 0.1 * np.sin(np.arange(leaf.size)).reshape(leaf.shape), variables["params"]
    )
    both = _output_and_gradient(network, variables, inputs)
    (one, grads), (other, _) = both(_labels(0, 1, 1)), both(_labels(1, 0, 1))
    assert (jnp.abs(one - other).max(1) > 1e-5).tolist() == [True, True, False]
    # Through its spectral norm the whole embedding matrix gets a gradient, unused rows included.
    _used_rows_get_gradients(grads, alone="spectral" not in variables)
    with pytest.raises(InputError, match="label"):
        network.apply(variables, inputs)


@every_coder
def test_labels_matter_to_coders(name):
    for network, inputs in (
        (networks.ENCODERS[name](Z, conditions=_classes(3)), _images((8, 8, 1), 3)),
        (networks.DECODERS[name]((8, 8, 1), conditions=_classes(3)), jnp.ones((3, Z))),
    ):
        variables = _build(network, inputs, _labels(0, 0, 0))
        _used_rows_get_gradients(_output_and_gradient(network, variables, inputs)(_labels(0, 1, 1))[1])


@pytest.mark.parametrize(
    "kind",
    ["ENCODERS", "DECODERS", *(pytest.param(k, marks=pytest.mark.slow) for k in ("GENERATORS", "DISCRIMINATORS"))],
)
def test_bfloat16_is_close_to_float32(kind):
    shape = (8, 8, 1)
    for name, module in getattr(networks, kind).items():
        given = {"latent_size": Z} if kind == "ENCODERS" else {"shape": shape}
        inputs = _images(shape, 4) if kind in ("DISCRIMINATORS", "ENCODERS") else jnp.ones((4, Z))
        exact = module(**given) if name == "mlp" else module(**given, width=16)
        rough = exact.clone(dtype=jnp.bfloat16)
        variables = _build(exact, inputs)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
        outputs = (jax.tree.leaves(jax.jit(network.apply)(variables, inputs)) for network in (exact, rough))
        for a, b in zip(*outputs, strict=True):
            assert b.dtype == jnp.float32
            scale = jnp.abs(a).max()
            assert 0 < jnp.abs(a - b).max() < 0.05 * scale, name


@pytest.mark.parametrize(
    ("table", "name", "norm"),
    [
        ("GENERATORS", "dcgan", "spectral"),
        ("GENERATORS", "sngan", "none"),
        ("GENERATORS", "convnet", "batch"),
        ("DISCRIMINATORS", "dcgan", "layer"),
        ("DISCRIMINATORS", "sngan", "batch"),
        ("DISCRIMINATORS", "convnet", "spectral"),
    ],
)
def test_unknown_norms_are_refused_by_name(table, name, norm):
    network = getattr(networks, table)[name]((8, 8, 1), norm=norm)
    inputs = jnp.zeros((1, Z)) if table == "GENERATORS" else jnp.zeros((1, 8, 8, 1))
    with pytest.raises(InputError, match=f"norm='{norm}': {name} knows"):
        network.init(jax.random.key(0), inputs)
