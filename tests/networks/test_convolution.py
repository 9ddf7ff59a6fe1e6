"""The convolutions by phases and by minimal filtering equal XLA's own, at every derivative that a GAN takes."""

import re
from typing import NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gen_jax.networks import convolution
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


class Layer(NamedTuple):
    function: str = "conv"
    size: tuple[int, int] = (4, 4)
    strides: tuple[int, int] = (2, 2)
    sides: tuple[int, int] = (8, 12)
    channels: tuple[int, int] = (5, 7)
    filtered: str = ""  # the maps that CPUs compute by minimal filtering, here whatever the shape

    def forms(self):
        """y = f(x, kernel), by gen_jax and by XLA."""
        return [lambda x, kernel, f=function: f(x, kernel, self.strides) for function in PAIRS[self.function]]

    def inputs(self, batch=3):
        draw = np.random.default_rng(0).standard_normal
        kernel = draw((*self.size, *self.channels)) / np.sqrt(np.prod(self.size) * self.channels[0])
        return jnp.float32(draw((batch, *self.sides, self.channels[0]))), jnp.float32(kernel)


LAYERS = {
    "conv": Layer(),
    "conv_transpose": Layer("conv_transpose"),
    "conv, filtered": Layer(filtered="STW"),
    "conv_transpose, filtered": Layer("conv_transpose", filtered="STW"),
    "conv 3x3, filtered": Layer(size=(3, 3), strides=(1, 1), filtered="STW"),
    "conv 3x3, thin": Layer(size=(3, 3), strides=(1, 1), channels=(2, 9), filtered="W"),
}


@pytest.fixture(autouse=True)
def filter_small_layers(request, monkeypatch):
    layer = getattr(request.node, "callspec", None) and request.node.callspec.params.get("layer")
    if isinstance(layer, Layer) and layer.filtered:
        whole = convolution._3X3 if layer.size == (3, 3) else convolution._4X4
        chosen = convolution._THIN if layer.filtered == "W" else whole
        monkeypatch.setattr(convolution, "_filtering", lambda *_: chosen)


each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def slow_if_filtered(layer):
    """One parameter of a test: what is filtered compiles longer."""
    return pytest.param(layer, marks=pytest.mark.slow if layer.filtered else ())


def _close(a, b, tolerance=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), a, b)


def _penalised(function, order=1):
    """A loss that holds gradients, as R1 does (that of the images) and then some (that of the kernel).

    `order` says how deep: 2 is a loss that holds gradients of a loss that holds gradients.
    """
    if order == 0:
        return lambda x, kernel: jnp.tanh(function(x, kernel)).sum()

    def loss(x, kernel):
        grads = jax.grad(_penalised(function, order - 1), (0, 1))(x, kernel)
        return sum((grad**2).mean() for grad in grads)

    return loss


@pytest.mark.parametrize("function", PAIRS)
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
def test_value_and_gradients(function, size, strides):
    layer = Layer(function, size, strides, (12, 24))

    def results(form):
        y, pullback = jax.vjp(form, *layer.inputs())
        return y, pullback(jnp.sin(jnp.arange(y.size)).reshape(y.shape))

    ours, theirs = (jax.jit(results, static_argnums=0)(form) for form in layer.forms())
    _close(ours, theirs, 2e-5)


@pytest.mark.parametrize(("size", "strides"), [((4, 4), (2, 2)), ((3, 3), (1, 1))])
@pytest.mark.parametrize("channels", [(5, 7), (160, 160)])
def test_a_side_that_the_stride_or_the_tile_does_not_divide(size, strides, channels):
    layer = Layer("conv", size, strides, (7, 10), channels)
    ours, theirs = (jax.value_and_grad(_penalised(form, 0), (0, 1))(*layer.inputs()) for form in layer.forms())
    _close(ours, theirs, 1e-4)


@each_layer
def test_gradient_of_a_gradient(layer):
    ours, theirs = (jax.jit(jax.grad(_penalised(form), (0, 1)))(*layer.inputs()) for form in layer.forms())
    _close(*_scaled(ours, theirs), 1e-5)


@pytest.mark.parametrize("layer", [slow_if_filtered(layer) for layer in LAYERS.values()], ids=LAYERS)
def test_third_derivatives(layer):
    ours, theirs = (jax.jit(jax.grad(_penalised(form, 2), (0, 1)))(*layer.inputs()) for form in layer.forms())
    _close(*_scaled(ours, theirs), 1e-5)


def _scaled(ours, theirs):
    """Both as shares of the largest number in `theirs`."""
    scale = max(float(jnp.abs(leaf).max()) for leaf in theirs)
    return (jax.tree.map(lambda leaf: leaf / scale, leaves) for leaves in (ours, theirs))


@each_layer
def test_vmap_and_remat(layer):
    x, kernel = layer.inputs()

    def results(form):
        def apply(x, kernel):
            return jnp.tanh(form(x, kernel))

        kernels = jnp.stack([kernel, 2 * kernel])
        return (
            jax.vmap(apply, (None, 0))(x, kernels),
            jax.grad(lambda kernel: (jax.checkpoint(apply)(x, kernel) ** 2).mean())(kernel),
        )

    ours, theirs = (jax.jit(results, static_argnums=0)(form) for form in layer.forms())
    _close(ours, theirs, 2e-5)


@each_layer
def test_bfloat16(layer):
    ours, theirs = layer.forms()
    x, kernel = layer.inputs()
    y = ours(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    _close(y.astype(jnp.float32), theirs(x, kernel), 5e-2)


def _windows(layer, form, platforms, order):
    """The window of each convolution in the program of an `order`-th derivative, lowered for `platforms`."""
    traced = jax.jit(_penalised(form, order)).trace(*layer.inputs())
    return re.findall(r"window = \{(.*?)\}", traced.lower(lowering_platforms=platforms).as_text())


def _dilated(windows):
    return [window for window in windows if "lhs_dilate = [2, 2]" in window]


def _of_phases(windows):
    """With a stride of 2, all but the phases' convolutions have that stride or that dilation."""
    return [window for window in windows if not re.search(r"(stride|dilate) = \[2, 2\]", window)]


@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_each_platform_gets_its_form(name, order):
    """XLA:CPU is slow where a convolution has a dilated input; accelerators have kernels for just that."""
    layer = LAYERS[name]
    ours, theirs = layer.forms()
    phases = (order > 0 or name == "conv_transpose") * 4 * 3 ** max(0, order - 1)
    cpu = _windows(layer, ours, ("cpu",), order)
    assert not _dilated(cpu) and len(_of_phases(cpu)) == phases
    for platform in ("cuda", "tpu"):
        windows = _windows(layer, ours, (platform,), order)
        assert not _of_phases(windows) and len(_dilated(windows)) == phases / 4
        assert len(windows) == len(_windows(layer, theirs, (platform,), order))


@pytest.mark.parametrize("layer", [layer for layer in LAYERS.values() if layer.filtered])
@pytest.mark.parametrize("order", [0, 1])
def test_only_cpus_filter(layer, order):
    ours, theirs = layer.forms()
    if layer.filtered == "STW":
        assert not _windows(layer, ours, ("cpu",), order)
    for platform in ("cuda", "tpu"):
        windows = _windows(layer, ours, (platform,), order)
        assert len(windows) == len(_windows(layer, theirs, (platform,), order)) > 0


@pytest.mark.parametrize("layer", [slow_if_filtered(layer) for layer in LAYERS.values()], ids=LAYERS)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_no_choice_is_left_in_the_compiled_program(layer, order):
    """A convolution inside a conditional is many times slower on CPU."""
    text = jax.jit(_penalised(layer.forms()[0], order)).lower(*layer.inputs()).compile().as_text()
    assert "conditional(" not in text
    first = "T" if layer.function == "conv_transpose" else "S"  # the only map of order 0
    assert ("inlineable" in text) == (bool(layer.filtered) if order else first in layer.filtered)
    assert ("convolution(" in text) == (layer.filtered != "STW")


@pytest.mark.slow
@each_layer
def test_one_export_for_two_platforms(layer):
    function = _penalised(layer.forms()[0])
    exported = jax.export.export(jax.jit(function), platforms=("cpu", "cuda"))(*layer.inputs())
    windows = re.findall(r"window = \{(.*?)\}", exported.mlir_module())
    assert windows
    if not layer.filtered:
        assert _dilated(windows) and _of_phases(windows)
    np.testing.assert_allclose(exported.call(*layer.inputs()), jax.jit(function)(*layer.inputs()), rtol=1e-6)


@each_layer
def test_eight_devices(layer):
    """The same gradient with the batch on 8 devices, at an eighth of the work each and one all-reduce."""
    x, kernel = layer.inputs(batch=128)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    gradient = jax.jit(jax.grad(lambda kernel, x: jnp.tanh(layer.forms()[0](x, kernel)).sum()))
    one, eight = (gradient.lower(kernel, images).compile() for images in (x, sharded))
    _close(*_scaled([eight(kernel, sharded)], [one(kernel, x)]), 1e-5)
    assert eight.as_text().count(" all-reduce(") == 1
    assert eight.cost_analysis()["flops"] < 0.2 * one.cost_analysis()["flops"]


def test_which_layers_are_filtered():
    """Those of DCGAN and their like; odd sides, other taps and few channels are left to XLA."""
    rule = convolution._filtering
    assert rule((4, 4, 256, 512), (2, 2), (8, 8)) == convolution._4X4
    assert rule((4, 4, 64, 128), (2, 2), (32, 32)) == convolution._4X4
    assert rule((3, 3, 128, 256), (1, 1), (8, 8)) == convolution._3X3
    assert rule((3, 3, 3, 64), (1, 1), (32, 32)) == convolution._THIN
    for other in (
        ((4, 4, 256, 512), (2, 2), (6, 6)),
        ((3, 3, 256, 512), (1, 1), (7, 8)),
        ((5, 5, 256, 512), (1, 1), (8, 8)),
        ((3, 3, 256, 512), (2, 2), (8, 8)),
        ((3, 3, 16, 16), (1, 1), (32, 32)),
        ((3, 3, 1, 32), (1, 1), (16, 16)),
    ):
        assert not any(rule(*other))


@pytest.mark.parametrize(("module", "sides"), [(Conv, (4, 6)), (ConvTranspose, (16, 24))])
def test_layers(module, sides):
    x, _ = Layer().inputs()
    module = module(7, (4, 4), (2, 2))
    y, variables = module.init_with_output(jax.random.key(0), x)
    assert y.shape == (3, *sides, 7)
    assert variables["params"]["kernel"].shape == (4, 4, 5, 7)
    shifted = {"params": {**variables["params"], "bias": jnp.arange(7.0)}}
    _close(module.apply(shifted, x) - y, jnp.broadcast_to(jnp.arange(7.0), y.shape))
