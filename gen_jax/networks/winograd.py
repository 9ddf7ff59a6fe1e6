"""Convolutions by minimal filtering (Winograd 1980; Lavin & Gray 2016), for CPUs.

F(m x m, r x r) computes m x m outputs of an r x r filter from n x n inputs, n = m + r - 1, by n * n products where the
sum of taps needs m * m * r * r:

    y = A^T [ (G k G^T) * (B^T d B) ] A

One matrix product over channels serves each of the n * n places in a tile, for all tiles at once. Two geometries,
with padding "SAME" and even sides:

    3x3 of stride 1   F(2x2, 3x3): 16 products for 36; in large layers F(4x4, 3x3): 36 for 144
    4x4 of stride 2   over the four phases of its input, each a 2x2 filter of stride 1: F(2x2, 2x2), 9 products for 16

Each is the three maps S, T and W that `convolution` explains. Beside them stands W of 3x3 taps for the first and the
last layer of a network, where one side has a few channels: one matrix product over patches.

Larger tiles round more: docs/performance.md has the errors beside float64.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax


class Filter(NamedTuple):
    """The three transforms of F(m x m, r x r), of one axis."""

    data: np.ndarray  # B^T [n, n]
    kernel: np.ndarray  # G [n, r]
    output: np.ndarray  # A^T [m, n]


def _filter(outputs: int, taps: int, *points: float) -> Filter:
    """F(m, r) by n - 1 points, and the one at infinity (Lavin & Gray 2016, section 4.1).

    Two polynomials are multiplied by their values at n points (Toom 1963; Cook 1966); a filter is the transpose of
    that. Which points are taken decides how much is rounded.
    """

    def powers(count):
        return np.concatenate([np.vander(points, count, increasing=True), np.eye(count)[-1:]])

    others = [points[:i] + points[i + 1 :] for i in range(len(points))]
    norms = [np.prod(np.subtract(point, rest)) for point, rest in zip(points, others, strict=True)]
    data = [[*np.poly(rest)[::-1], 0] for rest in others] + [np.poly(points)[::-1]]
    return Filter(np.array(data), powers(taps) / np.array([*norms, 1])[:, None], powers(outputs).T)


F22 = _filter(2, 2, 0, 1)
F23 = _filter(2, 3, 0, 1, -1)
F43 = _filter(4, 3, 0, 1, -1, 2, -2)  # 1/2 for 2 would round a third less, and take longer
LARGE = 2**14  # weights of each tap, from which on 3x3 goes by tiles of four
# A grid is a list of lists of equal arrays, one for each place in a tile. They are never stacked: to move that much
# memory costs more than the filtering saves.
Grid = list


def _combine(row, parts):
    """sum_i row[i] * parts[i], without the products by 0 and 1."""
    total = None
    for weight, part in zip(row, parts, strict=True):
        if weight == 0:
            continue
        term = part if abs(weight) == 1 else part * float(abs(weight))
        if total is None:
            total = term if weight > 0 else -term
        elif weight > 0:
            total = total + term
        else:
            total = total - term
    return total


def _transform(matrix: np.ndarray, grid: Grid) -> Grid:
    """matrix grid matrix^T."""
    columns = [[_combine(row, column) for row in matrix] for column in zip(*grid, strict=True)]
    return [[_combine(row, line) for row in matrix] for line in zip(*columns, strict=True)]


def _tiles(x, size: int, step: int) -> Grid:
    """The size x size places of tiles that lie `step` pixels apart in x [B, H, W, C]: [B, th, tw, C] each."""
    batch, height, width, channels = x.shape
    down, across = (height - size) // step + 1, (width - size) // step + 1

    def place(i, j):
        end = (batch, i + step * (down - 1) + 1, j + step * (across - 1) + 1, channels)
        return lax.slice(x, (0, i, j, 0), end, (1, step, step, 1))

    return [[place(i, j) for j in range(size)] for i in range(size)]


def _image(grid: Grid):
    """Of each place [B, th, tw, C], all tiles side by side: [B, th * m, tw * m, C]."""
    y = jnp.stack([jnp.stack(row, 3) for row in grid], 2)
    batch, down, _, across, _, channels = y.shape
    return y.reshape(batch, down * len(grid), across * len(grid[0]), channels)


def _products(a: Grid, b: Grid, contract: tuple[int, int]) -> Grid:
    """Place by place a matrix product, over axis `contract[0]` of [rows, columns] of a and `contract[1]` of b."""

    def product(a, b):
        a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
        return lax.dot_general(a, b, (((contract[0],), (contract[1],)), ((), ())))

    return [[product(*pair) for pair in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def _mixed(kernel, *weights):
    """Weighted sums of the taps of a kernel [h, w, I, O], one below the other: [len(weights) * I, O].

    A matrix product, which needs no program of its own to be compiled; and of two rows at least, as one of a single
    row would.
    """
    weights = np.stack([weight.reshape(-1) for weight in weights])
    if kernel.shape[2] % 2 == 0:  # the two halves of the channels are two rows
        weights = np.kron(weights, np.eye(2))
    return (weights.astype(kernel.dtype) @ kernel.reshape(weights.shape[1], -1)).reshape(-1, kernel.shape[3])


def _outputs(by: Filter, data: Grid, kernel: Grid, contract: int) -> Grid:
    """The m x m places of the output; `contract` is the axis of the kernel's [I, O] that meets the channels of x."""
    shape = data[0][0].shape[:3]
    places = _transform(by.output, _products(data, kernel, (1, contract)))
    return [[place.reshape(*shape, -1) for place in row] for row in places]


def _data(by: Filter, x) -> Grid:
    """B^T d B of the tiles of x."""
    return _transform(by.data, _tiles(x, len(by.data), len(by.output)))


def _gradients(by: Filter, y) -> Grid:
    """A g A^T of the tiles of y, whose sides m divides."""
    return _transform(by.output.T, _tiles(y, len(by.output), len(by.output)))


def _correlate(by: Filter, x, kernel: Grid, contract: int):
    """x [B, H, W, I] -> [B, H - r + 1, W - r + 1, O], sides that m divides."""
    return _image(_outputs(by, _data(by, x), kernel, contract))


def _correlate_weights(by: Filter, x, y):
    """The gradient of sum(y * correlate(x, kernel)) by the kernel: [r, r, I, O]."""
    data, gradients = _data(by, x), _gradients(by, y)
    grid = _transform(by.kernel.T, _products(data, gradients, (0, 0)))
    return jnp.stack([jnp.stack(row) for row in grid])


def _pad(x):
    edge = (1, 1, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), edge, edge, (0, 0, 0)))


def _of_3x3(x, weights: int) -> Filter:
    """The filter of a layer of so many weights a tap on images like x [B, H, W, .]: the larger where it saves much.

    Its 36 products take three times as long to compile as 16. On one core SNGAN's step gains a fifth; the smaller
    layers of DCGAN and of the digits GAN gained nothing. In bfloat16 it would round too much.
    """
    height, width = x.shape[1:3]
    large = min(height, width) >= 16 and weights >= LARGE and x.dtype.itemsize >= 4
    return F43 if large and height % 4 == width % 4 == 0 else F23


def conv3(x, kernel):
    """S, of 3x3 taps: x [B, H, W, I] -> [B, H, W, O]."""
    by = _of_3x3(x, kernel.shape[2] * kernel.shape[3])
    grid = [[_mixed(kernel, np.outer(row, column)) for column in by.kernel] for row in by.kernel]
    return _correlate(by, _pad(x), grid, 0)


def transpose3(y, kernel):
    """T, of 3x3 taps: S with the taps backwards, which meets y with its outputs."""
    by = _of_3x3(y, kernel.shape[2] * kernel.shape[3])
    backwards = by.kernel[:, ::-1]
    grid = [[_mixed(kernel, np.outer(row, column)) for column in backwards] for row in backwards]
    return _correlate(by, _pad(y), grid, 1)


def weights3(x, y):
    """W, of 3x3 taps."""
    return _correlate_weights(_of_3x3(x, x.shape[3] * y.shape[3]), _pad(x), y)


def _phases(x):
    """x [B, 2H, 2W, C], padded by one -> its four phases beside each other, [B, H + 1, W + 1, 4C]."""
    batch, height, width, channels = x.shape
    x = _pad(x).reshape(batch, height // 2 + 1, 2, width // 2 + 1, 2, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2 + 1, width // 2 + 1, 4 * channels)


def _every_other(weights, first: int):
    """Weights of two taps as those of four, of which they are every other one."""
    spread = np.zeros(4)
    spread[first::2] = weights
    return spread


def _kernel4(kernel) -> Grid:
    """For each place in a tile, the mixed taps of the four phases: [4I, O]."""

    def place(row, column):
        rows, columns = ([_every_other(weights, phase) for phase in range(2)] for weights in (row, column))
        return _mixed(kernel, *(np.outer(row, column) for row in rows for column in columns))

    return [[place(row, column) for column in F22.kernel] for row in F22.kernel]


def conv4(x, kernel):
    """S, of 4x4 taps and stride 2: x [B, 2H, 2W, I] -> [B, H, W, O]."""
    return _correlate(F22, _phases(x), _kernel4(kernel), 0)


def transpose4(y, kernel):
    """T, of 4x4 taps and stride 2: the adjoint of `conv4`, step by step backwards."""
    batch, height, width, _ = y.shape
    down, across, channels = height // 2, width // 2, kernel.shape[2]
    tiles = _transform(F22.data.T, _products(_gradients(F22, y), _kernel4(kernel), (1, 1)))
    tiles = [[place.reshape(batch, down, across, -1) for place in row] for row in tiles]
    columns = zip(*(_overlapped(row, 2) for row in tiles), strict=True)
    rows = zip(*(_overlapped(column, 1) for column in columns), strict=True)
    # From [.., tiles down, tiles across, phases x channels] of each place to pixels: tile, then place, then phase.
    grid = [[place.reshape(batch, down + 1, across + 1, 2, 2, channels) for place in row] for row in rows]
    x = jnp.stack([jnp.stack(row, 3) for row in grid], 2).transpose(0, 1, 2, 5, 3, 4, 6, 7)
    x = x.reshape(batch, 2 * height + 4, 2 * width + 4, channels)
    return x[:, 1 : 2 * height + 1, 1 : 2 * width + 1]


def _overlapped(places, axis: int):
    """The sum of tiles of three, two pixels apart along an axis, as its even and its odd pixels."""
    first, middle, last = places

    def pad(x, *edge):
        return lax.pad(x, jnp.zeros((), x.dtype), [(*(edge if i == axis else (0, 0)), 0) for i in range(x.ndim)])

    return pad(first, 0, 1) + pad(last, 1, 0), pad(middle, 0, 1)


def weights4(x, y):
    """W, of 4x4 taps and stride 2."""
    parts = _correlate_weights(F22, _phases(x), y)
    inputs, outputs = x.shape[-1], y.shape[-1]
    parts = parts.reshape(2, 2, 2, 2, inputs, outputs).transpose(0, 2, 1, 3, 4, 5)
    return parts.reshape(4, 4, inputs, outputs)


def _patches(x):
    """The 3 x 3 pixels around each one, beside each other: [B, H, W, C] -> [B, H, W, 9C]."""
    height, width = x.shape[1:3]
    x = _pad(x)
    return jnp.concatenate([x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], -1)


def weights_thin(x, y):
    """W, of 3x3 taps, with few channels in or out: one matrix product over patches."""
    inputs, outputs = x.shape[-1], y.shape[-1]
    pixels = ((0, 1, 2), (0, 1, 2)), ((), ())
    if inputs <= outputs:
        return lax.dot_general(_patches(x), y, pixels).reshape(3, 3, inputs, outputs)
    taps = lax.dot_general(x, _patches(y), pixels).reshape(inputs, 3, 3, outputs)
    return jnp.flip(taps.transpose(1, 2, 0, 3), (0, 1))
