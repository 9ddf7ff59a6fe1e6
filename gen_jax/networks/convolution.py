"""Convolutions whose every derivative is fast on CPU, and the layers that all networks are made of.

XLA:CPU has no good code for a convolution with a dilated input: the input gradient of a strided convolution takes two
to three times too long, the weight gradient of a transposed one thirty times; and its plain convolutions take up to
three times as long as their products would. Three maps avoid both. They are closed under differentiation, so this
holds at every order:

    y = S(k) x     convolution
    x = T(k) y     its adjoint, a transposed convolution: <y, S(k) x> = <T(k) y, x>
    k = W(x, y)    its weight gradient: <y, S(k) x> = <W(x, y), k>

Each has XLA's form, which accelerators have kernels for, and one for CPUs: by minimal filtering (`winograd`) where
the shape of the layer lets that pay, else, for T with a stride s, by phases. A pixel of T's output sees every s-th tap
only, so the s x s phases of that output are s x s small ordinary convolutions, interleaved: the same arithmetic, and
no zero is multiplied. The form is chosen where a map is lowered, by the platform it is lowered for: a program exported
for a GPU, or a function run on a GPU machine's CPU, gets its own. There is no forward-mode derivative of these maps.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Float

from gen_jax.networks import winograd

Strides = tuple[int, int]

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(
    x: Float[Array, "B H W I"], kernel: Float[Array, "h w I O"], strides: Strides = (1, 1)
) -> Float[Array, "B H2 W2 O"]:
    """A convolution with padding "SAME", as lax.conv_general_dilated computes it."""
    if x.shape[1] % strides[0] or x.shape[2] % strides[1] or not _worthwhile(kernel, strides, x.shape[1:3]):
        return _xla_conv(x, kernel, strides)
    return _conv(x, kernel, strides)


def conv_transpose(
    x: Float[Array, "B H W I"], kernel: Float[Array, "h w I O"], strides: Strides
) -> Float[Array, "B H2 W2 O"]:
    """A transposed convolution with padding "SAME", as lax.conv_transpose computes it."""
    if not _worthwhile(kernel, strides, _enlarged(x, strides)):
        return lax.conv_transpose(x, kernel, strides, "SAME", dimension_numbers=_LAYOUT)
    return _transpose(x, _adjoint(kernel), strides)


class Maps(NamedTuple):
    """S, T and W in one form; None where there is none."""

    conv: Callable | None = None  # x, kernel -> y
    transpose: Callable | None = None  # y, kernel -> x
    weights: Callable | None = None  # x, y -> kernel


def _called(maps: Maps) -> Maps:
    """The maps as calls that XLA leaves calls.

    It compiles a form once for all layers of a shape then, and does not fuse what is around a call into the sums of a
    tile, which it would compute again for each product that uses them.
    """

    def call(form):
        def called(*operands):
            with set_xla_metadata(inlineable="false"):
                return form(*operands)

        return called

    return Maps(*(form and call(jax.jit(form)) for form in maps))


_THIN = _called(Maps(weights=winograd.weights_thin))
_3X3 = _called(Maps(winograd.conv3, winograd.transpose3, winograd.weights3))
_4X4 = _called(Maps(winograd.conv4, winograd.transpose4, winograd.weights4))


def _worthwhile(kernel: Array, strides: Strides, sides) -> bool:
    """Whether there is another form for CPUs: with a stride and a tap for every phase, or by minimal filtering."""
    strided = max(strides) > 1 and all(size >= s for size, s in zip(kernel.shape[:2], strides, strict=True))
    return strided or any(_filtering(kernel.shape, strides, sides))


def _filtering(kernel, strides: Strides, sides) -> Maps:
    """The maps by minimal filtering that pay, of a layer on images of these sides.

    Measured on the steps of DCGAN and of the digits GAN, batch 64, on two cores: with fewer channels or on smaller
    images the products are too small to gain what their compilation costs. Taken by itself XLA's S is as fast where
    images are large and channels few, but in a step it is not. The batch has no say: an image must not depend on how
    many others there are.
    """
    taps, fewest, even = (*kernel[:2], *strides), min(kernel[2:4]), 2 * strides[0]
    if sides[0] * sides[1] * kernel[2] * kernel[3] < 2**16:  # products of each tap
        return Maps()
    if taps == (3, 3, 1, 1) and fewest <= 4:
        return _THIN
    if fewest < 32 or sides[0] % even or sides[1] % even:
        return Maps()
    return {(3, 3, 1, 1): _3X3, (4, 4, 2, 2): _4X4}.get(taps, Maps())


def _xla_conv(x, kernel, strides):
    return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=_LAYOUT)


def _xla_transpose(y, kernel, strides):
    return lax.conv_transpose(y, _adjoint(kernel), strides, "SAME", dimension_numbers=_LAYOUT)


def _xla_weights(x, y, strides, sizes):
    zeros = jnp.zeros((*sizes, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.vjp(lambda kernel: _xla_conv(x, kernel, strides), zeros)[1](y)[0]


def _adjoint(kernel):
    """The kernel k' with which lax.conv_transpose(y, k') is T(k) y."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def _phases(size: int, stride: int) -> list[tuple[slice, tuple[int, int]]]:
    """Along one axis: the taps that each phase of T's output sees, and the padding of its convolution.

    Pixel stride * p + phase sees, through tap t, the input pixel p + (t + phase - before) / stride; its
    taps are those for which that is a whole number.
    """
    before = -(-(size + stride - 2) // 2)  # what "SAME" means to lax.conv_transpose
    phases = []
    for phase in range(stride):
        first = (before - phase) % stride
        ahead = (first + phase - before) // stride
        phases.append((slice(first, None, stride), (-ahead, ahead + (size - first - 1) // stride)))
    return phases


def _by_phases(y, kernel, strides):
    kernel = _adjoint(kernel)
    batch, height, width, _ = y.shape
    rows, columns = (_phases(size, stride) for size, stride in zip(kernel.shape[:2], strides, strict=True))

    def phase(down, above, right, beside):
        part = kernel[down, right]
        return lax.conv_general_dilated(y, part, (1, 1), (above, beside), dimension_numbers=_LAYOUT)

    x = jnp.stack([jnp.stack([phase(*row, *column) for column in columns], 3) for row in rows], 2)
    return x.reshape(batch, height * strides[0], width * strides[1], -1)


def _enlarged(y, strides: Strides) -> tuple[int, int]:
    """The sides of T(kernel) y."""
    return y.shape[1] * strides[0], y.shape[2] * strides[1]


def _lowered(xla: Callable, cpu: Callable, *operands):
    return xla(*operands) if cpu is xla else lax.platform_dependent(*operands, cpu=cpu, default=xla)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x, kernel, strides):
    """S(kernel) x: [B, s*H, s*W, I] -> [B, H, W, O]."""
    xla = functools.partial(_xla_conv, strides=strides)
    filtered = _filtering(kernel.shape, strides, x.shape[1:3]).conv
    return _lowered(xla, filtered or xla, x, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _transpose(y, kernel, strides):
    """T(kernel) y: [B, H, W, O] -> [B, s*H, s*W, I]."""
    xla, by_phases = (functools.partial(form, strides=strides) for form in (_xla_transpose, _by_phases))
    filtered = _filtering(kernel.shape, strides, _enlarged(y, strides)).transpose
    return _lowered(xla, filtered or by_phases, y, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _weights(x, y, strides, sizes):
    """W(x, y): [B, s*H, s*W, I] and [B, H, W, O] -> [h, w, I, O]."""
    xla = functools.partial(_xla_weights, strides=strides, sizes=sizes)
    filtered = _filtering((*sizes, x.shape[-1], y.shape[-1]), strides, x.shape[1:3]).weights
    return _lowered(xla, filtered or xla, x, y)


def _conv_backward(strides, residuals, g):
    x, kernel = residuals
    return _transpose(g, kernel, strides), _weights(x, g, strides, kernel.shape[:2])


def _transpose_backward(strides, residuals, g):
    y, kernel = residuals
    return _conv(g, kernel, strides), _weights(g, y, strides, kernel.shape[:2])


def _weights_backward(strides, sizes, residuals, g):
    x, y = residuals
    return _transpose(y, g, strides), _conv(x, g, strides)


_conv.defvjp(lambda x, kernel, strides: (_conv(x, kernel, strides), (x, kernel)), _conv_backward)
_transpose.defvjp(lambda y, kernel, strides: (_transpose(y, kernel, strides), (y, kernel)), _transpose_backward)
_weights.defvjp(lambda x, y, *static: (_weights(x, y, *static), (x, y)), _weights_backward)


class Conv(nn.Module):
    """x [B, H, W, in] -> [B, H / stride, W / stride, features]; Flax's Conv through `conv`."""

    features: int
    kernel_size: tuple[int, int]
    strides: Strides = (1, 1)
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W I"]) -> Float[Array, "B H2 W2 O"]:
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        y = conv(x.astype(self.dtype), kernel.astype(self.dtype), self.strides)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


class ConvTranspose(nn.Module):
    """x [B, H, W, in] -> [B, H * stride, W * stride, features]; Flax's layer through `conv_transpose`."""

    features: int
    kernel_size: tuple[int, int] = (4, 4)
    strides: Strides = (2, 2)
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W I"]) -> Float[Array, "B H2 W2 O"]:
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        y = conv_transpose(x.astype(self.dtype), kernel.astype(self.dtype), self.strides)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y
