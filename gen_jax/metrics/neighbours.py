"""Precision, recall, density, coverage and memorisation: who lies near whom, exactly and in constant memory.

Distances come in blocks out of a matrix product in float32, whose rounding is bounded. Only a row whose
outcome that rounding could change is done again in float64, and only a pair that is still in doubt by the
difference of its two rows. So every decision is that of float64, at about the price of float32; equal rows
are at distance 0, and a pair has one distance whichever way it is met. (Where more than a handful of
references are so near each other that products in float64 cannot tell them apart, any of them may be taken for
the k-th nearest.)
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from gen_jax.errors import InputError
from gen_jax.metrics import checks

# Scores held at once: 64 MiB of float32.
BLOCK = 2**24
# Candidates beyond the wanted neighbours: enough that float32 is seldom in doubt whether it missed one.
SPARE = 8
GROUP = 64

Features = Array | np.ndarray


class Neighbours(NamedTuple):
    """Fidelity (precision, density) and diversity (recall, coverage) of generated images."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbour_metrics(
    real: Float[Features, "N d"], fake: Float[Features, "M d"], *, k_pr: int = 3, k_dc: int = 5
) -> Neighbours:
    """Overlap of two sets by balls that reach from a row to its k-th nearest other row of its own set.

    precision: share of fake rows in the ball of a real row; recall: share of real rows in the ball of a fake
    row (Kynkaanniemi et al. 2019, eq. 2). density: balls of real rows that a fake row lies in, on average, over
    k; coverage: share of real balls with a fake row inside (Naeem et al. 2020, eq. 3 and 4). Balls are open.

    Of a set and itself all four are 1 where distances are distinct: a ball holds its own centre and the k - 1
    nearest rows, the k-th lying on its edge, hence N k rows in balls, which over N k is a density of exactly 1.
    Density is the only one that can be more than 1.

    Args:
      real: [N, d].
      fake: [M, d]; equal numbers of rows make comparable balls.
      k_pr: neighbours for precision and recall.
      k_dc: neighbours for density and coverage.

    Returns:
      Neighbours. Time grows with N^2 + M^2 + N M; memory with N + M.

    Raises:
      InputError: a set of no more than max(k_pr, k_dc) rows, or whose rows are all equal, features that are not
        finite or of two widths, or k below 1.
    """
    if min(k_pr, k_dc) < 1:
        raise InputError(f"k_pr={k_pr}, k_dc={k_dc}; a neighbour count is at least 1")
    most = max(k_pr, k_dc)
    real, fake = checks.feature_sets(real, fake, least=most + 1)
    for name, x in (("real", real), ("fake", fake)):
        if (x == x[0]).all():
            raise InputError(f"{name} features are all equal: balls of radius 0 hold nothing; check the extractor")
    (real, fake), _ = _scaled(real, fake)
    # A row is its own nearest, so column k is the k-th other one.
    of_real = _nearest(real, real, most + 1)[1]
    of_fake = _nearest(fake, fake, k_pr + 1)[1][:, k_pr]
    return _overlap(real, fake, of_real[:, k_pr], of_real[:, k_dc], of_fake, k_dc)


def nearest(
    queries: Float[Features, "M d"], references: Float[Features, "N d"]
) -> tuple[Int[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    """The nearest reference of each query: its index [M] and Euclidean distance [M], exact, in float64.

    Raises:
      InputError: an empty set, or features that are not finite or of two widths.
    """
    references, queries = checks.feature_sets(references, queries)
    (queries, references), scale = _scaled(queries, references)
    index, squares = _nearest(queries, references, 1)
    return index[:, 0], np.sqrt(squares[:, 0]) / scale


def memorisation(
    fake: Float[Features, "M d"], train: Float[Features, "N d"], test: Float[Features, "T d"], *, q: float = 0.01
) -> dict[str, int | float]:
    """How much nearer to the training images generated images lie than unseen real ones do.

    Args:
      fake: [M, d], features or flattened pixels of generated images.
      train: [N, d], of the images that the generator was trained on.
      test: [T, d], of real images that it was not.
      q: quantile of the distances from test to training images that counts as suspiciously near.

    Returns:
      share_closer: share of fake rows nearer to a training row than that quantile; about q where nothing is
        memorised, 1 where everything is.
      median_distance, median_distance_of_test: to the nearest training row, in units of the features.
      median_ratio: the first over the second; about 1 where nothing is memorised.
      copies: fake rows that equal a training row.

    Raises:
      InputError: an empty set, features that are not finite or of two widths, or test rows half of which are
        copies of training rows, so that there is nothing to compare with.
    """
    distance, of_test = nearest(fake, train)[1], nearest(test, train)[1]
    median, median_of_test = float(np.median(distance)), float(np.median(of_test))
    if median_of_test == 0.0:
        raise InputError("half of the test rows are copies of training rows; give test images that were held out")
    return {
        "share_closer": float(np.mean(distance < np.quantile(of_test, q))),
        "median_distance": median,
        "median_distance_of_test": median_of_test,
        "median_ratio": median / median_of_test,
        "copies": int(np.sum(distance == 0.0)),
    }


def _scaled(*sets) -> tuple[list[np.ndarray], float]:
    """The sets times one power of two, which costs no digit, so that no square overflows or vanishes in float32."""
    largest = max(np.abs(x).max() for x in sets)
    scale = 2.0 ** -np.round(np.log2(largest)) if largest > 0.0 else 1.0
    wide = [x.astype(np.promote_types(x.dtype, np.float32), copy=False) for x in sets]
    return [x * x.dtype.type(scale) for x in wide], float(scale)


class _Scores(NamedTuple):
    """x . y - |y|^2 / 2 for a block of rows x and every y, which is (|x|^2 - |x - y|^2) / 2: large where near."""

    values: np.ndarray  # [rows, N], float32 or float64
    half_norms: np.ndarray  # [rows], |x|^2 / 2
    doubt: np.ndarray  # [rows], a bound on the rounding of the values


class _Operand(NamedTuple):
    """The references in one precision, centred, with a last column for |y|^2 / 2."""

    centre: np.ndarray
    matrix: np.ndarray
    largest: float  # the largest |y|^2


def _operands(references) -> tuple[_Operand, _Operand]:
    # A mean far from the origin would drown the differences in rounding.
    centre = references.mean(axis=0, dtype=np.float64)
    centred = references - centre
    squares = np.einsum("nd,nd->n", centred, centred)
    double = np.concatenate([centred, -squares[:, None] / 2.0], axis=1)
    return tuple(_Operand(centre, double.astype(t, copy=False), squares.max()) for t in (np.float32, np.float64))


def _scores(x, operand: _Operand) -> _Scores:
    centred = x - operand.centre
    squares = np.einsum("nd,nd->n", centred, centred)
    dtype = operand.matrix.dtype
    block = np.concatenate([centred, np.ones((len(x), 1))], axis=1).astype(dtype)
    # The roundings of d terms add up as a random walk; 4 is room to spare.
    doubt = 4.0 * np.sqrt(x.shape[1] + 1) * np.finfo(dtype).eps * (squares + operand.largest)
    return _Scores(block @ operand.matrix.T, squares / 2.0, doubt)


def _blocks(rows: int, columns: int) -> Iterator[np.ndarray]:
    size = max(1, BLOCK // columns)
    for start in range(0, rows, size):
        yield np.arange(start, min(start + size, rows))


def _squares(x, y):
    """|x - y|^2 over the last axis from the differences: exactly 0 for equal rows, and the same for (y, x)."""
    return np.sum((x.astype(np.float64) - y.astype(np.float64)) ** 2, axis=-1)


def _nearest(queries, references, k) -> tuple[np.ndarray, np.ndarray]:
    """Indices [M, k] and squared distances [M, k] of the k nearest references, nearest first."""
    operands = _operands(references)
    index, squares = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    candidates = min(k + SPARE, len(references))
    for rows in _blocks(len(queries), len(references)):
        for operand in operands:
            scores = _scores(queries[rows], operand)
            chosen = _largest(scores.values, candidates)
            distance = np.stack([_squares(queries[rows], references[column]) for column in chosen.T], axis=1)
            order = np.argsort(distance, axis=1, kind="stable")[:, :k]
            index[rows] = np.take_along_axis(chosen, order, axis=1)
            squares[rows] = np.take_along_axis(distance, order, axis=1)
            # No other reference is nearer than this.
            worst = np.take_along_axis(scores.values, chosen, axis=1).min(axis=1)
            others = np.maximum(2.0 * (scores.half_norms - worst - scores.doubt), 0.0)
            rows = rows[(squares[rows, -1] > others) & (candidates < len(references))]
            if not len(rows):
                break
    return index, squares


def _largest(values, count):
    """Columns [rows, count] of the largest values of each row, in no order.

    They lie in the `count` groups with the largest maxima, and maxima are far cheaper than a selection.
    """
    rows, columns = values.shape
    groups = columns // GROUP
    if groups <= count:
        return np.argpartition(-values, count - 1, axis=1)[:, :count]
    # Group g is columns g, g + groups, ...; the last few columns are candidates anyhow.
    maxima = values[:, : groups * GROUP].reshape(rows, GROUP, groups).max(axis=1)
    best = np.argpartition(-maxima, count - 1, axis=1)[:, :count]
    members = (best[:, :, None] + groups * np.arange(GROUP)).reshape(rows, -1)
    rest = np.broadcast_to(np.arange(groups * GROUP, columns), (rows, columns - groups * GROUP))
    members = np.concatenate([members, rest], axis=1)
    chosen = np.argpartition(-np.take_along_axis(values, members, axis=1), count - 1, axis=1)[:, :count]
    return np.take_along_axis(members, chosen, axis=1)


def _overlap(real, fake, real_pr, real_dc, fake_pr, k_dc) -> Neighbours:
    """The four numbers from squared radii: of real rows at two k, of fake rows at one."""
    operands = _operands(fake)
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    inside = np.zeros(len(real), np.int64)
    for rows in _blocks(len(real), len(fake)):
        for operand in operands:
            values, half_norms, doubt = _scores(real[rows], operand)
            doubt = doubt + np.finfo(values.dtype).eps * fake_pr.max()
            # A pair is inside a ball where its score is above a threshold: |x - y|^2 < r^2.
            masks = [_above(values, half_norms - radii[rows] / 2.0, doubt) for radii in (real_pr, real_dc)]
            values += (fake_pr / 2.0).astype(values.dtype)  # in place, since it is large; the radius of a column
            surely, perhaps = zip(*masks, _above(values, half_norms, doubt), strict=True)
            open_pairs = [p & ~s for s, p in zip(surely, perhaps, strict=True)]
            unsure = np.logical_or.reduce([pairs.any(axis=1) for pairs in open_pairs])
            if operand is operands[-1] and unsure.any():
                radii = (real_pr[rows][:, None], real_dc[rows][:, None], fake_pr[None, :])
                for sure, pairs, squared in zip(surely, open_pairs, radii, strict=True):
                    _settle(sure, pairs, real[rows], fake, np.broadcast_to(squared, sure.shape))
                unsure[:] = False
            done = rows[~unsure]
            precise |= surely[0][~unsure].any(axis=0)
            inside[done] = surely[1][~unsure].sum(axis=1)
            recalled[done] = surely[2][~unsure].any(axis=1)
            rows = rows[unsure]
            if not len(rows):
                break
    return Neighbours(
        precision=float(precise.mean()),
        recall=float(recalled.mean()),
        density=float(inside.sum() / (k_dc * len(fake))),
        coverage=float((inside > 0).mean()),
    )


def _above(values, thresholds, doubt):
    """Whether `values` [N, M] are above `thresholds` [N] for sure, and perhaps, given the `doubt` [N] in them."""
    return tuple(values > t.astype(values.dtype)[:, None] for t in (thresholds + doubt, thresholds - doubt))


def _settle(inside, pairs, x, y, squared_radii):
    """Writes into `inside` [N, M], where `pairs` [N, M] says so, whether |x_i - y_j| is below the radius."""
    i, j = np.nonzero(pairs)
    step = max(1, BLOCK // 8 // x.shape[1])
    for k in (slice(start, start + step) for start in range(0, len(i), step)):
        inside[i[k], j[k]] = _squares(x[i[k]], y[j[k]]) < squared_radii[i[k], j[k]]
