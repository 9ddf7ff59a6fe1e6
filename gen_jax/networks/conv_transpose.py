"""Strided and transposed convolutions whose every derivative is fast on CPU, and layers made of them.

XLA:CPU has no good code for a convolution with a dilated operand: the input gradient of a strided
convolution takes two to three times too long, the weight gradient of a transposed one thirty times.
So both are built from ordinary convolutions here. With stride s an output pixel of a transposed
convolution sees every s-th tap only: the s x s phases of the output are s x s small convolutions,
interleaved. A strided convolution is the mirror image: the phases of its input are convolved and
summed. The arithmetic stays the same, no zero is multiplied, and autodiff of ordinary convolutions
yields ordinary ones, at every order. Accelerators have kernels for the dilated form, and get it.
"""

import itertools
from collections.abc import Callable, Iterator
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
    batch, height, width, channels = x.shape
    (tall, wide), sizes = strides, kernel.shape[:2]
    if height % tall or width % wide or not _worthwhile(sizes, strides):
        return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=_LAYOUT)
    # Output p sees the pixel stride * p + tap - before: number p + (tap - before - r) / stride of phase r.
    before = [(size - stride) // 2 for size, stride in zip(sizes, strides, strict=True)]
    kernels = _phases(kernel, strides, lambda axis, r: -before[axis] - r)
    parts = x.reshape(batch, height // tall, tall, width // wide, wide, channels).transpose(2, 4, 0, 1, 3, 5)
    parts = parts.reshape(-1, *parts.shape[2:])
    return sum(_ordinary(part, *phase) for part, phase in zip(parts, kernels, strict=True))


def conv_transpose(
    x: Float[Array, "B H W I"], kernel: Float[Array, "h w I O"], strides: Strides
) -> Float[Array, "B H2 W2 O"]:
    """A transposed convolution with padding "SAME", as lax.conv_transpose computes it."""
    batch, height, width, _ = x.shape
    (tall, wide), sizes = strides, kernel.shape[:2]
    if not _worthwhile(sizes, strides):
        return lax.conv_transpose(x, kernel, strides, "SAME", dimension_numbers=_LAYOUT)
    # Phase a of the output, its pixel stride * p + a, sees the input pixel p + (tap - before + a) / stride.
    before = [-(-(size + stride - 2) // 2) for size, stride in zip(sizes, strides, strict=True)]
    kernels = _phases(kernel, strides, lambda axis, a: a - before[axis])
    y = jnp.stack([_ordinary(x, *phase) for phase in kernels], 3)
    y = y.reshape(batch, height, width, tall, wide, -1).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(batch, height * tall, width * wide, -1)


def _worthwhile(sizes: tuple[int, ...], strides: Strides) -> bool:
    """Whether to go by phases: on CPU, with a stride, and every phase having a tap."""
    fits = all(size >= stride for size, stride in zip(sizes, strides, strict=True))
    return jax.default_backend() == "cpu" and max(strides) > 1 and fits


def _phases(
    kernel: Array, strides: Strides, shift: Callable[[int, int], int]
) -> Iterator[tuple[Array, list[tuple[int, int]]]]:
    """The part of the kernel that each phase sees, row by row, and the padding of its convolution.

    `shift(axis, phase)` is the s with which tap t looks (t + s) / stride pixels ahead; the taps of a
    phase are those where that is a whole number.
    """
    for phase in itertools.product(*map(range, strides)):
        taps, padding = [], []
        for axis, stride in enumerate(strides):
            size, ahead = kernel.shape[axis], shift(axis, phase[axis])
            first = -ahead % stride
            nearest = (first + ahead) // stride
            taps.append(slice(first, None, stride))
            padding.append((-nearest, nearest + (size - first - 1) // stride))
        yield kernel[tuple(taps)], padding


def _ordinary(x: Array, kernel: Array, padding: list[tuple[int, int]]) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=_LAYOUT)


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
