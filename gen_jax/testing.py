"""For tests: what every loss, and every sampler with a known probability, must satisfy, asked in one call.

This file imports jax and numpy and no room of gen_jax: it serves losses that have nothing to do with the rest.
A property that fails raises AssertionError with one sentence: the property, where it fails, and the numbers.
"""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

EXTREMES = (-1e4, 0.0, 1e4)


def check_loss(
    loss: Callable,
    example: Mapping | Sequence,
    *,
    shared: Sequence[str] = (),
    no_gradient: Sequence[str] = (),
    extremes: Mapping[str, Sequence[float]] | None = None,
    whole_batch: bool = False,
    tolerance: float = 1e-5,
    bfloat16: float | None = 0.05,
) -> None:
    """Asserts of a loss, in this order:

    - shape: every output is a scalar, the mean over the batch, or has the batch as its leading axis;
    - deterministic: twice the same arguments (and key) give the same bits;
    - one trace: no Python branch on a value, and, where it is compiled already, no program for each number;
    - finite: values and gradients, at the example, for a batch of one, for rows alike, and at `extremes`;
    - no gradient: that by the arguments `no_gradient` is exactly zero;
    - gradient: by all other arguments it equals central differences in float64, along a random direction;
    - jit: compiled or not, the values agree;
    - vmap: over two batches it equals a loop over them;
    - permutation: a permuted batch gives the permuted values, or the same mean;
    - mean: a batch gives the values of its rows alone, or their mean;
    - bfloat16: on rounded arguments, arithmetic in bfloat16 agrees with float32.

    Args:
      loss: returns one value an example [B, ...], or a scalar, the mean over the batch, or a pytree of these.
      example: the arguments, by name or in order: pytrees of arrays with leading axis B. Numbers and typed keys have no
        such axis. Whole numbers, texts, None and functions are constants of the program.
      shared: names of further arguments without the batch's axis, such as parameters.
      no_gradient: names of arguments that the loss must not reach, behind a stop_gradient.
      extremes: by name, the numbers that an argument is filled with, in all combinations. The default of a floating
        argument with the batch's axis is EXTREMES; `()` leaves it as it is in the example.
      whole_batch: the terms of different rows depend on each other (MMD, batch statistics): "mean" and a batch of one
        are not asked. Nor are "permutation" and "mean" where a single key draws the noise of all rows; a key a row, an
        argument of keys [B], is permuted with the rows.
      tolerance: of jit, vmap, permutation and mean, against 1 + the largest value.
      bfloat16: the same of bfloat16. None leaves it out, as where noise is drawn in the type of the arguments.

    Raises:
      AssertionError: a property does not hold.
      ValueError: the example is none: an unknown name, arguments of different batches.
    """
    if not isinstance(example, Mapping):
        example = inspect.signature(loss).bind(*example).arguments
    constant = {name: x for name, x in example.items() if not all(map(_is_array, jax.tree.leaves(x)))}
    at = {name: jax.tree.map(_single, x) for name, x in example.items() if name not in constant}
    for name in (*shared, *no_gradient, *(extremes or {})):
        if name not in at:
            raise ValueError(f"{name}: the example has the arrays {', '.join(at)}")
    rows = [name for name in at if name not in shared and all(x.ndim for x in jax.tree.leaves(at[name]))]
    sizes = {name: len(x) for name in rows for x in jax.tree.leaves(at[name])}
    if len({*sizes.values()}) != 1:
        raise ValueError(f"batch sizes {sizes}; name in shared what has no batch axis")
    size = sizes[rows[0]]
    floating = [name for name in at if all(jnp.issubdtype(x.dtype, np.floating) for x in jax.tree.leaves(at[name]))]
    keyed = any(_is_key(x) for name in at if name not in rows for x in jax.tree.leaves(at[name]))

    def plain(arguments):
        return loss(**constant, **arguments)

    @jax.jit
    def both(arguments):
        """The values, and the slopes of their weighted sum."""

        def total(moved):
            found = plain({**arguments, **moved})
            return _weighted(found), found

        slopes, found = jax.grad(total, has_aux=True)({name: arguments[name] for name in floating})
        return found, slopes

    def value(arguments):
        return both(arguments)[0]

    def taken(index, arguments=at):
        """The rows that an index picks."""
        return {n: jax.tree.map(lambda x: x[index], x) if n in rows else x for n, x in arguments.items()}

    def say(name, sentence):
        raise AssertionError(f"{getattr(loss, '__name__', 'loss')}: {name}: {sentence}")

    def agree(name, found, expected, what, allowed=tolerance):
        for a, b in zip(_numbers(found), _numbers(expected), strict=True):
            far = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
            if not (far <= allowed * (1.0 + np.abs(b).max(initial=0.0))).all():
                i = np.unravel_index(np.argmax(np.where(np.isnan(far), np.inf, far)), far.shape)
                say(name, f"{what.format(_short(a[i]), _short(b[i]))}{_place(i)}")

    def finite(where, arguments):
        found, slopes = both(arguments)
        for what, tree in [("value", found), *((f"gradient by {name}", slope) for name, slope in slopes.items())]:
            for x in _numbers(tree):
                bad = ~np.isfinite(x)
                if bad.any():
                    say("finite", f"{where} the {what} is {_short(x[bad][0])} in {bad.sum()} of {x.size} places")

    def eager(arguments):
        """The values, called as the example is written: numbers as Python's, which may be static."""
        written = {n: float(x) if isinstance(example[n], float) else x for n, x in arguments.items()}
        return plain(jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, written))

    first = eager(at)
    for x in jax.tree.leaves(first):
        if jnp.shape(x) and jnp.shape(x)[0] != size:
            say("shape", f"an output has the shape {jnp.shape(x)}; expected a scalar or a leading axis of {size}")
    scalars = [not jnp.shape(x) for x in jax.tree.leaves(first)]
    agree("deterministic", eager(at), first, "the same arguments gave {1}, then {0}", allowed=0.0)

    other = {name: jax.tree.map(lambda x: np.float32(0.999) * x, at[name]) for name in floating if name not in rows}
    other = taken(np.roll(np.arange(size), 1), {**at, **other})
    pair = (at, other)
    if hasattr(loss, "_cache_size"):  # compiled by the caller, perhaps with numbers that are static
        before, after = ((eager(these), loss._cache_size())[1] for these in pair)
        if after > before:
            say("one trace", f"arguments of the same shapes made {after - before + 1} programs")
    try:
        found, slopes = both(at)
        value(other)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        say("one trace", f"the program depends on a value: {str(error).splitlines()[0].rstrip('.')}")

    finite("at the example", at)
    if not whole_batch:
        finite("for a batch of one", taken(np.array([0])))
    finite("for rows alike", taken(np.zeros(size, int)))
    filled = {name: EXTREMES for name in floating if name in rows} | dict(extremes or {})
    filled = {name: numbers for name, numbers in filled.items() if len(numbers)}
    for numbers in itertools.product(*filled.values()):
        now = dict(zip(filled, numbers, strict=True))
        fill = {name: jax.tree.map(lambda x, n=n: np.full_like(x, n), at[name]) for name, n in now.items()}
        finite(f"at {', '.join(f'{name}={n:g}' for name, n in now.items())}", {**at, **fill})

    for name in no_gradient:
        worst = max((np.abs(x).max(initial=0.0) for x in _numbers(slopes.get(name, ()))), default=0.0)
        if worst > 0.0:
            say("no gradient", f"by {name} it is up to {_short(worst)}; expected exactly 0")
    with jax.enable_x64(True):
        _check_gradient(say, lambda x: _weighted(plain(x)), at, [n for n in floating if n not in no_gradient])

    agree("jit", found, first, "compiled it gives {}, not compiled {}")
    loop = jax.tree.map(_stack, *map(value, pair))
    agree("vmap", jax.jit(jax.vmap(plain))(jax.tree.map(_stack, *pair)), loop, "it gives {}, a loop {}")
    leaves = [np.asarray(x) for x in jax.tree.leaves(found)]
    if not keyed:
        order = np.random.default_rng(0).permutation(size)
        moved = [x if one else x[order] for one, x in zip(scalars, leaves, strict=True)]
        agree("permutation", value(taken(order)), moved, "the permuted batch gives {}, the batch itself {}")
    if not keyed and not whole_batch:
        alone = zip(*(jax.tree.leaves(value(taken(np.array([i])))) for i in range(size)), strict=True)
        for one, together, parts in zip(scalars, leaves, alone, strict=True):
            what = f"the batch of {size} gives {{}}, {'the mean of its rows' if one else 'the row alone'} {{}}"
            agree("mean", together, np.mean(parts) if one else np.concatenate(parts), what)
    if bfloat16 is not None:
        low = {name: jax.tree.map(lambda x: x.astype(jnp.bfloat16), at[name]) for name in floating}
        high = jax.tree.map(lambda x: x.astype(np.float32), low)
        agree("bfloat16", value({**at, **low}), value({**at, **high}), "it gives {}, float32 {}", bfloat16)


def _weighted(found):
    """The sum of all values, each by a weight of its own, so that errors do not cancel."""
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(found)]
    weights = [np.random.default_rng(i).uniform(0.5, 1.5, x.shape) for i, x in enumerate(leaves)]
    return sum(jnp.sum(jnp.asarray(w, x.dtype) * x) for w, x in zip(weights, leaves, strict=True))


def _check_gradient(say, total, at, names):
    """Central differences along one random direction an argument. Under enable_x64."""
    wide = {**at, **jax.tree.map(lambda x: x.astype(np.float64), {name: at[name] for name in names})}
    both = jax.jit(jax.value_and_grad(lambda moved, rest: total({**rest, **moved})))
    moved, rest = {name: wide[name] for name in names}, {name: x for name, x in wide.items() if name not in names}
    centre, slopes = both(moved, rest)
    # Rounding and curvature are in balance: of a loss that computes in less, whatever it is given, less is asked.
    program = str(jax.make_jaxpr(total)(wide))
    narrow = next((d for word, d in (("bf16[", jnp.bfloat16), ("f32[", jnp.float32)) if word in program), jnp.float64)
    eps = float(jnp.finfo(narrow).eps)
    step, allowed = eps ** (1 / 3), max(1e-5, 100 * eps ** (2 / 3))
    for i, name in enumerate(names):
        rng = np.random.default_rng(i)
        way = jax.tree.map(lambda x, rng=rng: rng.normal(size=x.shape), wide[name])
        walk = lambda x, d: (x + step * d, x - step * d)
        ends = jax.tree.transpose(jax.tree.structure(way), None, jax.tree.map(walk, wide[name], way))
        up, down = (both({**moved, name: end}, rest)[0] for end in ends)
        differences = float(up - down) / (2 * step)
        along = float(sum(jax.tree.leaves(jax.tree.map(np.vdot, slopes[name], way))))
        rounding = 4 * eps / step * abs(float(centre))
        if not abs(along - differences) <= allowed * max(abs(along), abs(differences)) + rounding:
            say(
                "gradient",
                f"by {name}, along a random direction, it is {along:.6g}; differences give {differences:.6g}",
            )


def check_sampler(
    log_prob: Callable[[jax.Array], jax.Array],
    sample: Callable[[jax.Array, int], jax.Array],
    *,
    support: jax.Array | None = None,
    interval: tuple[float, float] | None = None,
    key: jax.Array | None = None,
    draws: int = 20_000,
    false_alarm: float = 1e-6,
    tolerance: float = 1e-4,
) -> None:
    """Asserts that `sample` draws from the distribution of `log_prob`, in this order:

    - shape: `draws` values of the shape of the support, and one log-probability each, none of them NaN;
    - deterministic: the same key draws the same values;
    - sum: the probabilities of the support sum to 1, or the density over the interval integrates to 1;
    - support: nothing is drawn that cannot be;
    - frequencies: a chi-square test of the counts, over the support or over 64 cells of the interval of equal
      probability. Cells that expect fewer than 10 draws are counted together.

    The test is a function of `key`: it passes always or never. Of right samplers a fraction `false_alarm` of all keys
    would fail.

    Args:
      log_prob: values [N, ...] -> nats [N].
      sample: (typed key, N) -> values [N, ...].
      support: all values that can be drawn [S, ...], of a discrete distribution.
      interval: (low, high) that holds all but `tolerance` of the probability of a continuous distribution of a number.
      key: of the draws; None is jax.random.key(0).
      draws: N.
      tolerance: of the sum.

    Raises:
      AssertionError: a property does not hold.
      ValueError: neither or both of support and interval; so few draws that there is nothing to compare.
    """
    if (support is None) == (interval is None):
        raise ValueError("give either support, all values that can be drawn, or interval, (low, high)")
    key = jax.random.key(0) if key is None else key
    found = np.asarray(sample(key, draws))
    shape = () if support is None else np.shape(support)[1:]
    _claim(
        "shape",
        found.shape == (draws, *shape),
        f"{draws} draws have the shape {found.shape}; expected {(draws, *shape)}",
    )
    _claim("deterministic", np.array_equal(found, sample(key, draws)), "the same key drew other values")
    values = np.linspace(*interval, 2**14 + 1, dtype=np.float32) if support is None else np.asarray(support)
    log_p = np.asarray(log_prob(jnp.asarray(values)), np.float64)
    _claim("shape", log_p.shape == values.shape[:1], f"log_prob of {len(values)} values has the shape {log_p.shape}")
    _claim("shape", not np.isnan(log_p).any(), f"log_prob is nan at {_short(values[np.isnan(log_p).argmax()])}")
    p = np.exp(log_p)
    if support is None:
        below = np.concatenate([[0.0], np.cumsum((p[1:] + p[:-1]) / 2 * np.diff(values.astype(np.float64)))])
        total = below[-1]
        cuts = np.unique(np.searchsorted(below, total * np.arange(1, 64) / 64))
        p = np.diff(below[[0, *cuts, len(below) - 1]])
        cell = np.searchsorted(values[cuts], found, side="left")
    else:
        total = p.sum()
    _claim(
        "sum", abs(total - 1.0) <= tolerance, f"the probabilities sum to {total:.6g}; expected 1 within {tolerance:g}"
    )
    if support is not None:
        # Rounded, so that one value computed in two ways is one value; adding 0.0 makes -0.0 a zero.
        rounded = lambda x: [row.tobytes() for row in np.round(np.reshape(x, (len(x), -1)).astype(np.float64), 5) + 0.0]
        places = {row: i for i, row in enumerate(rounded(values))}
        cell = np.array([places.get(row, -1) for row in rounded(found)])
        for bad in (cell < 0, p[cell] == 0.0):
            _claim("support", not bad.any(), f"{_short(found[bad.argmax()])} was drawn, whose probability is 0")
    counts, expected = np.bincount(cell, minlength=len(p)), draws * p / total
    rare = expected < 10
    if expected[rare].sum() < 10 and rare.any() and not rare.all():  # with them, the rarest of the others
        rare |= expected == expected[~rare].min()
    counts, expected = (np.append(x[~rare], x[rare].sum()) if rare.any() else x for x in (counts, expected))
    if len(expected) < 2:
        raise ValueError(f"{draws} draws leave one cell with 10 or more of them: raise draws")
    square = float(((counts - expected) ** 2 / expected).sum())
    with jax.enable_x64(True):
        chance = float(jax.scipy.special.gammaincc((len(expected) - 1) / 2, square / 2))
    worst = np.argmax((counts - expected) ** 2 / expected)
    _claim(
        "frequencies",
        chance >= false_alarm,
        f"chi-square {square:.4g} of {len(expected) - 1} degrees of freedom, seen by chance with one key in"
        f" {1 / false_alarm:.0e} at most; one cell was drawn {counts[worst]:,} times, {expected[worst]:,.1f} expected",
    )


def _claim(name, holds, sentence):
    if not holds:
        raise AssertionError(f"sampler: {name}: {sentence}")


def _is_array(x):
    return isinstance(x, (jax.Array, np.ndarray, np.generic, float))


def _is_key(x):
    return jnp.issubdtype(getattr(x, "dtype", None), jax.dtypes.prng_key)


def _single(x):
    """Floats as float32, whatever they come as. In NumPy, where to pick rows compiles nothing."""
    if _is_key(x):
        return x
    x = np.asarray(x)
    return x.astype(np.float32) if jnp.issubdtype(x.dtype, np.floating) else x


def _stack(*arrays):
    return jnp.stack(arrays) if _is_key(arrays[0]) else np.stack(arrays)


def _numbers(tree):
    return [np.asarray(x).astype(np.float64) for x in jax.tree.leaves(tree)]


def _short(x):
    return f"{x:.6g}" if np.ndim(x) == 0 else np.array2string(np.asarray(x), precision=4, threshold=6)


def _place(index):
    return f", at {[int(i) for i in index]}" if index else ""
