"""Minimal filtering computes the same three maps as XLA's convolutions: exactly, but for rounding.

The maps are linear in each of their two arguments, and their derivatives are these maps again (test_convolution), so
that what is compared here holds for derivatives of every order.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.networks import convolution, winograd

_3X3 = winograd.conv3, winograd.transpose3, winograd.weights3
_4X4 = winograd.conv4, winograd.transpose4, winograd.weights4
TILES_OF_FOUR = "3x3, tiles of four"
# kernel's side, stride, the maps, channels in and out, sides of x
FORMS = {
    "3x3": (3, 1, _3X3, 6, 5, (6, 8)),
    "3x3, odd channels": (3, 1, _3X3, 5, 6, (6, 8)),
    TILES_OF_FOUR: (3, 1, _3X3, 6, 5, (16, 20)),
    "4x4, stride 2": (4, 2, _4X4, 6, 5, (8, 12)),
    "thin input": (3, 1, (None, None, winograd.weights_thin), 2, 7, (8, 12)),
    "thin output": (3, 1, (None, None, winograd.weights_thin), 7, 2, (8, 12)),
}
MAPS = {"S": 0, "T": 1, "W": 2}


def _both(form, which, dtype):
    """One map by minimal filtering and, in float64, by XLA; on the same numbers."""
    size, stride, maps, inputs, outputs, sides = FORMS[form]
    draw = np.random.default_rng(0).standard_normal
    x = jnp.asarray(draw((3, *sides, inputs)), dtype)
    y = jnp.asarray(draw((3, *(side // stride for side in sides), outputs)), dtype)
    kernel = jnp.asarray(draw((size, size, inputs, outputs)), dtype)
    xla = (
        lambda x, kernel: convolution._xla_conv(x, kernel, (stride, stride)),
        lambda y, kernel: convolution._xla_transpose(y, kernel, (stride, stride)),
        lambda x, y: convolution._xla_weights(x, y, (stride, stride), (size, size)),
    )
    arguments = ((x, kernel), (y, kernel), (x, y))[which]
    return jax.jit(maps[which])(*arguments), jax.jit(xla[which])(*(a.astype(jnp.float64) for a in arguments))


@pytest.mark.parametrize(
    ("form", "which"), [(form, name) for form in FORMS for name in MAPS if FORMS[form][2][MAPS[name]]]
)
@pytest.mark.parametrize(
    ("dtype", "error"), [("float64", 1e-14), ("float32", 1e-6), pytest.param("bfloat16", 4e-2, marks=pytest.mark.slow)]
)
def test_the_maps_are_those_of_xla(form, which, dtype, error, monkeypatch):
    monkeypatch.setattr(winograd, "LARGE", 30)
    if form == TILES_OF_FOUR and dtype == "float32":
        error = 4e-6
    with jax.enable_x64(True):
        ours, exact = _both(form, MAPS[which], dtype)
        assert ours.dtype == dtype and ours.shape == exact.shape
        assert jnp.abs(ours - exact).max() <= error * jnp.abs(exact).max()


@pytest.mark.parametrize("filter_", [winograd.F22, winograd.F23, winograd.F43], ids=["F22", "F23", "F43"])
def test_filters_are_exact_in_integers(filter_):
    """A^T ((G g) * (B^T d)) is the correlation of d and g, in whole numbers."""
    rng = np.random.default_rng(0)
    data, taps = rng.integers(-9, 10, filter_.data.shape[1]), 24 * rng.integers(-9, 10, filter_.kernel.shape[1])
    found = filter_.output @ ((filter_.kernel @ taps) * (filter_.data @ data))
    np.testing.assert_array_equal(found, np.correlate(data, taps, "valid"))


def test_large_layers_have_tiles_of_four():
    rule = lambda sides, channels, dtype="float32": winograd._of_3x3(
        jax.ShapeDtypeStruct((64, *sides, 128), jnp.dtype(dtype)), 128 * channels
    )
    assert rule((16, 20), 128) is winograd.F43
    for other in [((16, 16), 64), ((8, 16), 128), ((16, 18), 128), ((16, 16), 128, "bfloat16")]:
        assert rule(*other) is winograd.F23
