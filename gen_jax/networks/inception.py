"""Inception v3 (Szegedy et al. 2016) as published FIDs use it: the graph of 2015-12-05, for inference only.

It differs from the Inception v3 of the model zoos in three places: the averages of the pool branches do not
count the padding, the pool branch of the last block takes the maximum, and there are 1008 classes. Modules bear
the names of the usual PyTorch state dict, so that weights are carried over by name.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FEATURES = 2048
CLASSES = 1008


class Inception(nn.Module):
    """Stem, eleven mixed blocks, global average; batch norm with stored statistics only."""

    @nn.compact
    def __call__(self, images: Float[Array, "N H W 3"]) -> tuple[Float[Array, "N 2048"], Float[Array, "N 1008"]]:
        """Images in [-1, 1], 75 x 75 pixels or more (299 x 299 by the papers) -> (pool3 features, logits).

        The logits lack the bias of the last layer, because the Inception score does (Salimans et al. 2016: their
        code multiplies pool3 by the matrix alone).
        """
        x = Unit(32, (3, 3), (2, 2), "VALID", name="Conv2d_1a_3x3")(images)
        x = Unit(32, (3, 3), padding="VALID", name="Conv2d_2a_3x3")(x)
        x = Unit(64, (3, 3), name="Conv2d_2b_3x3")(x)
        x = _halve(x)
        x = Unit(80, name="Conv2d_3b_1x1")(x)
        x = Unit(192, (3, 3), padding="VALID", name="Conv2d_4a_3x3")(x)
        x = _halve(x)
        x = BlockA(32, name="Mixed_5b")(x)
        x = BlockA(64, name="Mixed_5c")(x)
        x = BlockA(64, name="Mixed_5d")(x)
        x = BlockB(name="Mixed_6a")(x)
        x = BlockC(128, name="Mixed_6b")(x)
        x = BlockC(160, name="Mixed_6c")(x)
        x = BlockC(160, name="Mixed_6d")(x)
        x = BlockC(192, name="Mixed_6e")(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(_average, name="Mixed_7b")(x)
        x = BlockE(_maximum, name="Mixed_7c")(x)
        features = x.mean((1, 2))
        logits = nn.Dense(CLASSES, use_bias=False, precision=jax.lax.Precision.HIGHEST, name="fc")(features)
        return features, logits


class Unit(nn.Module):
    """Convolution without bias, batch norm by stored statistics, ReLU: the one unit of the network."""

    channels: int
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w channels"]:
        # A score must not depend on the device: an accelerator would else multiply in fewer bits than float32 has.
        precision = jax.lax.Precision.HIGHEST
        convolution = nn.Conv(
            self.channels, self.kernel, self.strides, self.padding, use_bias=False, precision=precision, name="conv"
        )
        x = nn.BatchNorm(use_running_average=True, epsilon=1e-3, name="bn")(convolution(x))
        return nn.relu(x)


class BlockA(nn.Module):
    """35 x 35: 1x1, 5x5, two 3x3, average pool."""

    pool_channels: int

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W D"]:
        one = Unit(64, name="branch1x1")(x)
        five = Unit(48, name="branch5x5_1")(x)
        five = Unit(64, (5, 5), name="branch5x5_2")(five)
        three = Unit(64, name="branch3x3dbl_1")(x)
        three = Unit(96, (3, 3), name="branch3x3dbl_2")(three)
        three = Unit(96, (3, 3), name="branch3x3dbl_3")(three)
        pool = Unit(self.pool_channels, name="branch_pool")(_average(x))
        return jnp.concatenate([one, five, three, pool], -1)


class BlockB(nn.Module):
    """35 x 35 to 17 x 17: 3x3, two 3x3, maximum pool, all of stride 2."""

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w D"]:
        three = Unit(384, (3, 3), (2, 2), "VALID", name="branch3x3")(x)
        double = Unit(64, name="branch3x3dbl_1")(x)
        double = Unit(96, (3, 3), name="branch3x3dbl_2")(double)
        double = Unit(96, (3, 3), (2, 2), "VALID", name="branch3x3dbl_3")(double)
        return jnp.concatenate([three, double, _halve(x)], -1)


class BlockC(nn.Module):
    """17 x 17: 1x1, one and two 7x7 factored into rows and columns, average pool."""

    channels: int

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W 768"]:
        one = Unit(192, name="branch1x1")(x)
        seven = Unit(self.channels, name="branch7x7_1")(x)
        seven = Unit(self.channels, (1, 7), name="branch7x7_2")(seven)
        seven = Unit(192, (7, 1), name="branch7x7_3")(seven)
        double = Unit(self.channels, name="branch7x7dbl_1")(x)
        double = Unit(self.channels, (7, 1), name="branch7x7dbl_2")(double)
        double = Unit(self.channels, (1, 7), name="branch7x7dbl_3")(double)
        double = Unit(self.channels, (7, 1), name="branch7x7dbl_4")(double)
        double = Unit(192, (1, 7), name="branch7x7dbl_5")(double)
        pool = Unit(192, name="branch_pool")(_average(x))
        return jnp.concatenate([one, seven, double, pool], -1)


class BlockD(nn.Module):
    """17 x 17 to 8 x 8: 3x3, factored 7x7 and 3x3, maximum pool, all of stride 2."""

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w 1280"]:
        three = Unit(192, name="branch3x3_1")(x)
        three = Unit(320, (3, 3), (2, 2), "VALID", name="branch3x3_2")(three)
        seven = Unit(192, name="branch7x7x3_1")(x)
        seven = Unit(192, (1, 7), name="branch7x7x3_2")(seven)
        seven = Unit(192, (7, 1), name="branch7x7x3_3")(seven)
        seven = Unit(192, (3, 3), (2, 2), "VALID", name="branch7x7x3_4")(seven)
        return jnp.concatenate([three, seven, _halve(x)], -1)


class BlockE(nn.Module):
    """8 x 8: 1x1, 3x3 split into a row beside a column, the same behind a 3x3, and `pool`."""

    pool: Callable[[jax.Array], jax.Array]

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W 2048"]:
        one = Unit(320, name="branch1x1")(x)
        three = Unit(384, name="branch3x3_1")(x)
        three = [
            Unit(384, (1, 3), name="branch3x3_2a")(three),
            Unit(384, (3, 1), name="branch3x3_2b")(three),
        ]
        double = Unit(448, name="branch3x3dbl_1")(x)
        double = Unit(384, (3, 3), name="branch3x3dbl_2")(double)
        double = [
            Unit(384, (1, 3), name="branch3x3dbl_3a")(double),
            Unit(384, (3, 1), name="branch3x3dbl_3b")(double),
        ]
        pool = Unit(192, name="branch_pool")(self.pool(x))
        return jnp.concatenate([one, *three, *double, pool], -1)


def _average(x):
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def _maximum(x):
    return nn.max_pool(x, (3, 3), padding="SAME")


def _halve(x):
    return nn.max_pool(x, (3, 3), (2, 2))
