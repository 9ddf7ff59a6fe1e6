"""The helpers for tests find what they say: each property is broken once, and each right function passes."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.testing import check_loss, check_sampler

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 5, 3))


def square(x, y):
    """Right: one value an example."""
    return ((x - y) ** 2).sum(-1)


def mean_square(x, y):
    """Right: the mean over the batch."""
    return square(x, y).mean()


def stopped(x, y):
    return square(x, jax.lax.stop_gradient(y))


@partial(jax.jit, static_argnames="weight")
def static_weight(x, weight):
    return weight * x.sum(-1)


def noise(x, key):
    return square(x, jax.random.normal(key, x.shape))


def noise_by_row(x, keys):
    return square(x, jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys))


@pytest.mark.parametrize(
    "loss, example, options",
    [
        (square, (X, Y), {}),
        (mean_square, {"x": X, "y": Y}, {}),
        (stopped, (X, Y), {"no_gradient": ["y"]}),
        (noise, (X, jax.random.key(0)), {}),
        (noise_by_row, (X, jax.random.split(jax.random.key(0), 5)), {}),
        (lambda x: x.var(0).sum(), (X,), {"whole_batch": True}),
        (lambda x, levels, name: x[:, 0] * levels, (X, 256, "a constant"), {}),
        (lambda x, params: x @ params["w"], (X, {"w": Y[0]}), {"shared": ["params"]}),
        (lambda x: {"a": x.astype(jnp.float32).sum(-1), "b": jnp.mean(x**2)}, (X,), {}),
        (lambda label, x: jnp.take_along_axis(x, label[:, None], 1)[:, 0], (np.array([0, 1, 2, 0, 1]), X), {}),
    ],
)
def test_a_right_loss_passes(loss, example, options):
    check_loss(loss, example, **options)
    assert not jax.config.jax_enable_x64 and jnp.ones(1).dtype == jnp.float32


@jax.custom_vjp
def halved(x):
    return x**2


halved.defvjp(lambda x: (x**2, x), lambda x, slope: (slope * x,))


@jax.custom_batching.custom_vmap
def unbatched(label):
    return label + 1


unbatched.def_vmap(lambda size, batched, label: (label + 2, True))


def traced(x):
    return x.sum(-1) + isinstance(x, jax.core.Tracer)


def branch(x):
    return x.sum(-1) if x.sum() > 0 else -x.sum(-1)


# A loss that breaks one property -> its example, options, and what is said of it.
MUTATIONS = {
    "a wrong gradient": (lambda x: halved(x).sum(-1), (X,), {}, r"gradient: by x, .* it is .*; differences give"),
    "a sum for a mean": (lambda x, y: square(x, y).sum(), (X, Y), {}, r"mean: the batch of 5 gives .*, the mean of"),
    "a mean in each row": (lambda x: x[:, 0] - x[:, 0].mean(), (X,), {}, "mean: the batch of 5 gives .* row alone"),
    "a leak": (square, (X, Y), {"no_gradient": ["y"]}, r"no gradient: by y it is up to [\d.]+; expected exactly 0"),
    "a nan at 1e4": (lambda x: jnp.log1p(jnp.exp(x)).sum(-1), (X,), {}, "finite: at x=10000 the value is inf"),
    "a nan in the gradient": (
        lambda x: jnp.where(x == 0.0, 0.0, jnp.sqrt(jnp.abs(x))).sum(-1), (X,), {},
        "finite: at x=0 the gradient by x is nan in 15 of 15 places",
    ),
    "a nan of rows alike": (lambda x: jnp.log(x.var()), (X[:, 0],), {"whole_batch": True}, "finite: for rows alike"),
    "the order counts": (lambda x: x[:, 0] * jnp.arange(len(x)), (X,), {}, "permutation: the permuted batch gives"),
    "a random number": (lambda x: x.sum(-1) + np.random.normal(), (X,), {}, "deterministic: the same arguments gave"),
    "a branch": (branch, (X,), {}, "one trace: the program depends on a value: Attempted boolean conversion"),
    "a static weight": (static_weight, (X, 0.5), {}, "one trace: arguments of the same shapes made 2 programs"),
    "another program": (traced, (X,), {}, r"jit: compiled it gives [-\d.]+, not compiled"),
    "a wrong batching rule": (lambda x, label: x[:, 0] * unbatched(label), (X, np.arange(5)), {}, "vmap: it gives"),
    "cancellation": (lambda x: (x + 1e3 - 1e3).sum(-1), (X,), {"tolerance": 1e-3}, r"bfloat16: it gives .*, float32"),
    "a row lost": (lambda x: x[1:, 0], (X,), {}, r"shape: an output has the shape \(4,\); expected a scalar or a lead"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_loss_is_told_in_one_sentence(name):
    loss, example, options, told = MUTATIONS[name]
    with pytest.raises(AssertionError, match=told) as found:
        check_loss(loss, example, **options)
    assert "\n" not in str(found.value)


def test_an_example_that_is_none():
    with pytest.raises(ValueError, match=r"batch sizes \{'x': 5, 'y': 4\}; name in shared"):
        check_loss(square, (X, Y[:4]))
    with pytest.raises(ValueError, match="z: the example has the arrays x, y"):
        check_loss(square, (X, Y), no_gradient=["z"])


LOGITS = np.array([0.0, 1.0, -1.0, 0.5], np.float32)


def log_prob(x):
    return jax.nn.log_softmax(LOGITS)[x]


def sample(key, count, temperature=1.0):
    return jax.random.categorical(key, LOGITS / temperature, shape=(count,))


def normal(key, count, scale=1.0):
    return scale * jax.random.normal(key, (count,))


FOUR, LINE = {"support": np.arange(4)}, {"interval": (-6.0, 6.0)}


def test_a_right_sampler_passes():
    check_sampler(log_prob, sample, **FOUR)
    check_sampler(jax.scipy.stats.norm.logpdf, normal, **LINE)


def test_the_rate_of_false_alarms_is_the_one_stated():
    alarms = 0
    for seed in range(300):
        try:
            check_sampler(log_prob, sample, **FOUR, key=jax.random.key(seed), draws=1000, false_alarm=0.1)
        except AssertionError as error:
            assert "frequencies" in str(error)
            alarms += 1
    assert 10 <= alarms <= 55, "of 300 keys 30 are expected; fewer than 10 or more than 55 once in a million"


OTHERS = {
    "a wrong temperature": (log_prob, partial(sample, temperature=1.1), FOUR, "frequencies: .* of 3 degrees"),
    "a wrong scale": (jax.scipy.stats.norm.logpdf, partial(normal, scale=1.05), LINE, "frequencies: .* 63 degrees"),
    "not normalised": (lambda x: jnp.asarray(LOGITS)[x], sample, FOUR, "sum: the probabilities sum to 5.7"),
    "mass outside": (jax.scipy.stats.norm.logpdf, normal, {"interval": (-2.0, 2.0)}, "sum: .* sum to 0.954"),
    "an impossible draw": (lambda x: jnp.log(jnp.array([0.5, 0.5, 0.0]))[x],
                           lambda key, count: jax.random.randint(key, (count,), 0, 3), {"support": np.arange(3)},
                           "support: 2 was drawn, whose probability is 0"),
    "a draw from nowhere": (log_prob, lambda key, count: sample(key, count) + 1, FOUR, "support: 4 was drawn"),
    "a shape": (log_prob, lambda key, count: sample(key, count)[:, None], FOUR, r"shape: 20000 draws have the shape"),
    "a nan": (lambda x: jnp.where(x == 2, jnp.nan, log_prob(x)), sample, FOUR, "shape: log_prob is nan at 2"),
    "a key of its own": (log_prob, lambda key, count: sample(jax.random.key(np.random.randint(99)), count), FOUR,
                         "deterministic: the same key drew other values"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_wrong_sampler_is_told_in_one_sentence(name):
    log_p, draw, where, told = OTHERS[name]
    with pytest.raises(AssertionError, match=told) as found:
        check_sampler(log_p, draw, **where)
    assert "\n" not in str(found.value)


def test_a_sampler_that_cannot_be_compared():
    with pytest.raises(ValueError, match="give either support"):
        check_sampler(log_prob, sample)
    with pytest.raises(ValueError, match="raise draws"):
        check_sampler(log_prob, sample, **FOUR, draws=12)


def test_the_page_says_what_is_so():
    page = (Path(__file__).parent.parent / "docs/testing.md").read_text()
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        names = {}
        exec(block, names)
        (test,) = (value for name, value in names.items() if name.startswith("test_"))
        test()
        told = re.search(r"^# (.*: .*)$", block, re.MULTILINE).group(1)
        with pytest.raises(AssertionError, match=re.escape(told)):
            names["wrong"]()


def test_imports_jax_and_no_room():
    code = (
        "import sys, gen_jax; gen_jax.testing.check_loss; print([m for m in sys.modules if 'gen_jax.' in m or m in {}])"
    )
    others = "('flax', 'optax', 'scipy', 'ml_collections', 'tensorflow_datasets', 'orbax')"
    found = subprocess.run(
        [sys.executable, "-c", code.format(others)], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() in (
        "['gen_jax.version', 'gen_jax.testing']",
        "['gen_jax.version', 'scipy', 'gen_jax.testing']",
    )
