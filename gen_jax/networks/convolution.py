"""Strided and transposed convolutions whose every derivative is fast on CPU, and layers made of them.

XLA:CPU has no good code for a convolution with a dilated input: the input gradient of a strided
convolution takes two to three times too long, the weight gradient of a transposed one thirty times. The
three maps below avoid them. They are closed under differentiation, so this holds at every order:

    y = S(k) x     strided convolution: XLA's own
    x = T(k) y     transposed convolution, the adjoint: <y, S(k') x> = <T(k) y, x>, k' being k flipped
    k = W(x, y)    weight gradient of S: <y, S(k) x> = <W(x, y), k>

With stride s a pixel of T's output sees every s-th tap only. So the s x s phases of that output are s x s
small ordinary convolutions, interleaved: the same arithmetic, and no zero is multiplied. Accelerators have
kernels for the dilated form, and get it. The form is chosen where T is lowered, by the platform it is lowered
for: a program exported for a GPU, or a function run on a GPU machine's CPU, gets its own. There is no
forward-mode derivative.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Strides = tuple[int, int]

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(
    x: Float[Array, "B H W I"], kernel: Float[Array, "h w I O"], strides: Strides = (1, 1)
) -> Float[Array, "B H2 W2 O"]:
    """A convolution with padding "SAME", as lax.conv_general_dilated computes it."""
    divides = x.shape[1] % strides[0] == x.shape[2] % strides[1] == 0
    return (_conv if divides and _worthwhile(kernel, strides) else _xla_conv)(x, kernel, strides)


def conv_transpose(
    x: Float[Array, "B H W I"], kernel: Float[Array, "h w I O"], strides: Strides
) -> Float[Array, "B H2 W2 O"]:
    """A transposed convolution with padding "SAME", as lax.conv_transpose computes it."""
    return (_transpose if _worthwhile(kernel, strides) else _xla_transpose)(x, kernel, strides)


def _worthwhile(kernel: Array, strides: Strides) -> bool:
    """Whether the phases are an alternative: with a stride, and with a tap for every phase."""
    fits = all(size >= stride for size, stride in zip(kernel.shape[:2], strides, strict=True))
    return max(strides) > 1 and fits


def _xla_conv(x, kernel, strides):
    return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=_LAYOUT)


def _xla_transpose(x, kernel, strides):
    return lax.conv_transpose(x, kernel, strides, "SAME", dimension_numbers=_LAYOUT)


def _adjoint(kernel):
    """The kernel k' with which T(k) is the adjoint of S(k')."""
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


def _by_phases(x, kernel, strides):
    batch, height, width, _ = x.shape
    rows, columns = (_phases(size, stride) for size, stride in zip(kernel.shape[:2], strides, strict=True))

    def phase(down, above, right, beside):
        part = kernel[down, right]
        return lax.conv_general_dilated(x, part, (1, 1), (above, beside), dimension_numbers=_LAYOUT)

    y = jnp.stack([jnp.stack([phase(*row, *column) for column in columns], 3) for row in rows], 2)
    return y.reshape(batch, height * strides[0], width * strides[1], -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x, kernel, strides):
    """S(kernel) x: [B, s*H, s*W, I] -> [B, H, W, O]."""
    return _xla_conv(x, kernel, strides)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _transpose(x, kernel, strides):
    """T(kernel) x: [B, H, W, I] -> [B, s*H, s*W, O]; the one map whose form the platform decides."""
    form = lambda function: functools.partial(function, strides=strides)
    return lax.platform_dependent(x, kernel, cpu=form(_by_phases), default=form(_xla_transpose))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _weights(x, y, strides, sizes):
    """W(x, y): [B, s*H, s*W, I] and [B, H, W, O] -> [h, w, I, O]."""
    zeros = jnp.zeros((*sizes, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.vjp(lambda kernel: _xla_conv(x, kernel, strides), zeros)[1](y)[0]


def _conv_backward(strides, residuals, g):
    x, kernel = residuals
    return _transpose(g, _adjoint(kernel), strides), _weights(x, g, strides, kernel.shape[:2])


def _transpose_backward(strides, residuals, g):
    x, kernel = residuals
    return _conv(g, _adjoint(kernel), strides), _adjoint(_weights(g, x, strides, kernel.shape[:2]))


def _weights_backward(strides, sizes, residuals, g):
    x, y = residuals
    return _transpose(y, _adjoint(g), strides), _conv(x, g, strides)


_conv.defvjp(lambda x, kernel, strides: (_conv(x, kernel, strides), (x, kernel)), _conv_backward)
_transpose.defvjp(lambda x, kernel, strides: (_transpose(x, kernel, strides), (x, kernel)), _transpose_backward)
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
