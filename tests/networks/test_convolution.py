"""The convolutions by phases equal XLA's own, at every derivative that a GAN takes."""

import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gen_jax.networks.convolution import Conv, ConvTranspose, conv, conv_transpose

LAYOUT = ("NHWC", "HWIO", "NHWC")
PAIRS = {
    "conv": (
        conv,
        lambda x, kernel, strides: lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=LAYOUT),
    ),
    "conv_transpose": (
        conv_transpose,
        lambda x, kernel, strides: lax.conv_transpose(x, kernel, strides, "SAME", dimension_numbers=LAYOUT),
    ),
}
each_pair = pytest.mark.parametrize("name", PAIRS)


def _inputs(size=(4, 4), sides=(8, 12), batch=3):
    draw = np.random.default_rng(0).standard_normal
    return jnp.float32(draw((batch, *sides, 5))), jnp.float32(draw((*size, 5, 7))) / 8


def _close(a, b, tolerance=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), a, b)


def _penalised(function, order=1):
    """A loss that holds gradients, as R1 does (that of the images) and then some (that of the kernel).

    `order` says how deep: 2 is a loss that holds gradients of a loss that holds gradients.
    """
    if order == 0:
        return lambda x, kernel: jnp.tanh(function(x, kernel, (2, 2))).sum()

    def loss(x, kernel):
        grads = jax.grad(_penalised(function, order - 1), (0, 1))(x, kernel)
        return sum((grad**2).mean() for grad in grads)

    return loss


@each_pair
@pytest.mark.parametrize(
    ("size", "strides"),
    [
        ((4, 4), (2, 2)),
        ((3, 3), (2, 2)),
        ((5, 4), (3, 2)),
        ((4, 3), (1, 2)),
        ((7, 7), (4, 4)),
        ((1, 1), (2, 2)),
    ],
)
def test_value_and_gradients(name, size, strides):
    x, kernel = _inputs(size, (12, 24))

    def results(function):
        y, pullback = jax.vjp(lambda x, kernel: function(x, kernel, strides), x, kernel)
        return y, pullback(jnp.sin(jnp.arange(y.size)).reshape(y.shape))

    ours, theirs = (jax.jit(results, static_argnums=0)(function) for function in PAIRS[name])
    _close(ours, theirs, 2e-5)


def test_a_side_that_the_stride_does_not_divide():
    ours, theirs = (
        jax.value_and_grad(lambda x, kernel, f=function: (f(x, kernel, (2, 2)) ** 2).sum(), (0, 1))
        for function in PAIRS["conv"]
    )
    _close(ours(*_inputs(sides=(7, 9))), theirs(*_inputs(sides=(7, 9))), 1e-4)


@each_pair
def test_gradient_of_a_gradient(name):
    ours, theirs = (jax.jit(jax.grad(_penalised(function), (0, 1))) for function in PAIRS[name])
    _close(ours(*_inputs()), theirs(*_inputs()), 1e-4)


@each_pair
def test_third_derivatives(name):
    ours, theirs = (jax.jit(jax.grad(_penalised(function, 2), (0, 1)))(*_inputs()) for function in PAIRS[name])
    scale = max(float(jnp.abs(leaf).max()) for leaf in theirs)
    _close(*(jax.tree.map(lambda leaf: leaf / scale, leaves) for leaves in (ours, theirs)), 1e-5)


@each_pair
def test_vmap_and_remat(name):
    x, kernel = _inputs()

    def results(function):
        def apply(x, kernel):
            return jnp.tanh(function(x, kernel, (2, 2)))

        kernels = jnp.stack([kernel, 2 * kernel])
        return (
            jax.vmap(apply, (None, 0))(x, kernels),
            jax.grad(lambda kernel: (jax.checkpoint(apply)(x, kernel) ** 2).sum())(kernel),
        )

    ours, theirs = (jax.jit(results, static_argnums=0)(function) for function in PAIRS[name])
    _close(ours, theirs, 2e-5)


@each_pair
def test_bfloat16(name):
    ours, theirs = PAIRS[name]
    x, kernel = _inputs()
    y = ours(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), (2, 2))
    assert y.dtype == jnp.bfloat16
    _close(y.astype(jnp.float32), theirs(x, kernel, (2, 2)), 5e-2)


def _windows(function, platforms, order):
    """The window of each convolution in the program of an `order`-th derivative, lowered for `platforms`."""
    traced = jax.jit(_penalised(function, order)).trace(*_inputs())
    return re.findall(r"window = \{(.*?)\}", traced.lower(lowering_platforms=platforms).as_text())


def _dilated(windows):
    return [window for window in windows if "lhs_dilate = [2, 2]" in window]


def _of_phases(windows):
    """With a stride of 2, all but the phases' convolutions have that stride or that dilation."""
    return [window for window in windows if not re.search(r"(stride|dilate) = \[2, 2\]", window)]


@each_pair
@pytest.mark.parametrize("order", [0, 1, 2])
def test_each_platform_gets_its_form(name, order):
    """XLA:CPU is slow where a convolution has a dilated input; accelerators have kernels for just that."""
    ours, theirs = PAIRS[name]
    phases = (order > 0 or name == "conv_transpose") * 4 * 3 ** max(0, order - 1)
    cpu = _windows(ours, ("cpu",), order)
    assert not _dilated(cpu) and len(_of_phases(cpu)) == phases
    for platform in ("cuda", "tpu"):
        windows = _windows(ours, (platform,), order)
        assert not _of_phases(windows) and len(_dilated(windows)) == phases / 4
        assert len(windows) == len(_windows(theirs, (platform,), order))


@each_pair
@pytest.mark.parametrize("order", [0, 1, 2])
def test_no_choice_is_left_in_the_compiled_program(name, order):
    """A convolution inside a conditional is many times slower on CPU."""
    text = jax.jit(_penalised(PAIRS[name][0], order)).lower(*_inputs()).compile().as_text()
    assert "convolution(" in text and "conditional(" not in text


@each_pair
def test_one_export_for_two_platforms(name):
    function = _penalised(PAIRS[name][0])
    exported = jax.export.export(jax.jit(function), platforms=("cpu", "cuda"))(*_inputs())
    windows = re.findall(r"window = \{(.*?)\}", exported.mlir_module())
    assert _dilated(windows) and _of_phases(windows)
    assert exported.call(*_inputs()) == jax.jit(function)(*_inputs())


@each_pair
def test_eight_devices(name):
    """The same gradient with the batch on 8 devices, at an eighth of the work each and one all-reduce."""
    x, kernel = _inputs(batch=16)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    gradient = jax.jit(jax.grad(lambda kernel, x: jnp.tanh(PAIRS[name][0](x, kernel, (2, 2))).sum()))
    one, eight = (gradient.lower(kernel, images).compile() for images in (x, sharded))
    _close(eight(kernel, sharded), one(kernel, x), 1e-4)
    assert eight.as_text().count(" all-reduce(") == 1
    assert eight.cost_analysis()["flops"] < 0.15 * one.cost_analysis()["flops"]


@pytest.mark.parametrize(("layer", "sides"), [(Conv, (4, 6)), (ConvTranspose, (16, 24))])
def test_layers(layer, sides):
    x, _ = _inputs()
    module = layer(7, (4, 4), (2, 2))
    y, variables = module.init_with_output(jax.random.key(0), x)
    assert y.shape == (3, *sides, 7)
    assert variables["params"]["kernel"].shape == (4, 4, 5, 7)
    shifted = {"params": {**variables["params"], "bias": jnp.arange(7.0)}}
    _close(module.apply(shifted, x) - y, jnp.broadcast_to(jnp.arange(7.0), y.shape))
