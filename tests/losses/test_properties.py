"""What every loss and every likelihood of the room must satisfy: `gen_jax.testing` over a table of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics import convolutional

from gen_jax.losses import adversarial, bounds, contrastive, divergences, likelihoods, penalties
from gen_jax.testing import check_loss, check_sampler

RNG = np.random.default_rng(0)
SURE = (-1e4, -89.0, 0.0, 89.0, 1e4)
MEANS = (-1e4, -1.0, 0.0, 0.3, 0.5, 1.0, 2.0, 1e4)
LOG_SCALES = (-1e4, -30.0, -12.0, -7.0, -3.0, 0.0, 3.0, 30.0, 1e4)
EVERY_LEVEL = np.arange(256)[:, None] / 255.0


def normal(*shape):
    return RNG.normal(size=shape)


def images(*shape):
    return RNG.integers(0, 256, size=shape) / 255.0


def of_critic(penalty):
    """A penalty as a loss of images and parameters."""
    return lambda params, **arguments: penalty(convolutional(params), **arguments)


PAIR = (images(5, 4, 4, 2), images(5, 4, 4, 2))
PARAMS = {"kernel": 0.5 * normal(3, 3, 2, 3), "head": normal(4, 4, 3)}
PENALTY = {"shared": ["params"], "extremes": {"images": (0, 1)}}
# No bfloat16 where whole levels count: it has 8 bits, the level and its half need 9.
LEVELS = {"extremes": {"images": (), "mean": MEANS, "log_scale": LOG_SCALES}, "bfloat16": None}

# Name -> the loss, an example, options.
LOSSES = {
    **{
        name: (loss, (normal(6), normal(6)), {"extremes": {"real_logits": SURE, "fake_logits": SURE}})
        for name, loss in adversarial.OBJECTIVES.items()
    },
    "elbo": (bounds.elbo, {"log_likelihood": normal(5), "kl": normal(5) ** 2, "beta": 0.5}, {}),
    "importance_weighted": (lambda log_weights: bounds.importance_weighted(log_weights.T), [normal(4, 7)], {}),
    "bits_per_dimension": (bounds.bits_per_dimension, (normal(5), 48), {}),
    "gaussian_kl": (
        lambda mean, log_std, prior_mean, prior_log_std: divergences.gaussian_kl(
            mean, log_std, (prior_mean, prior_log_std)
        ),
        [normal(4, 3) for _ in range(4)],
        {"extremes": {"log_std": (-1e4, 20.0), "prior_log_std": (-5.0, 5.0)}},
    ),
    "contrastive": (
        contrastive.contrastive,
        {"images": normal(6, 3), "texts": normal(6, 3), "scale": 2.0, "said": np.array([0, 1, 1, 2, 3, 1])},
        {"whole_batch": True},
    ),
    "bernoulli": (
        likelihoods.bernoulli,
        (images(6, 3, 2, 1), 4.0 * normal(6, 3, 2, 1)),
        {"extremes": {"images": (0, 1)}},
    ),
    "gaussian": (
        likelihoods.gaussian,
        (normal(6, 3, 2, 1), normal(6, 3, 2, 1), normal(6, 3, 2, 1)),
        {"extremes": {"log_std": (-5.0, 5.0)}},
    ),
    "gaussian, one scale": (likelihoods.gaussian, (normal(6, 3, 2, 1), normal(6, 3, 2, 1), -1.0), {}),
    "discretized_logistic": (
        likelihoods.discretized_logistic,
        (EVERY_LEVEL, RNG.uniform(size=(256, 1)), RNG.uniform(-5, 0, size=(256, 1))),
        LEVELS,
    ),
    "discretized_logistic, one scale": (
        likelihoods.discretized_logistic,
        {"images": images(6, 3, 2, 1), "mean": RNG.uniform(size=(6, 3, 2, 1)), "log_scale": -2.0, "levels": 256},
        {"extremes": {"images": ()}, "bfloat16": None},
    ),
    "discretized_logistic_mixture": (
        likelihoods.discretized_logistic_mixture,
        (images(6, 3, 2), normal(6, 3, 2, 4), RNG.uniform(size=(6, 3, 2, 4)), RNG.uniform(-4, 0, size=(6, 3, 2, 4))),
        {"extremes": {"images": (0.0, 1.0)}, "bfloat16": None},
    ),
    "r1": (of_critic(penalties.r1), {"images": PAIR[0], "params": PARAMS}, PENALTY),
    "r2": (of_critic(penalties.r2), {"images": PAIR[1], "params": PARAMS}, PENALTY),
    "gradient_penalty": (
        of_critic(penalties.gradient_penalty),
        {"real": PAIR[0], "fake": PAIR[1], "params": PARAMS, "key": jax.random.key(3)},
        {
            "shared": ["params"],
            "extremes": {"real": (0, 1), "fake": (0, 1)},
            "bfloat16": None,
        },  # which draws other noise
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss(name):
    loss, example, options = LOSSES[name]
    check_loss(loss, example, **options)


def test_no_loss_is_left_out():
    rooms = (adversarial, bounds, contrastive, divergences, likelihoods, penalties)
    public = {n for room in rooms for n, f in vars(room).items() if getattr(f, "__module__", "") == room.__name__}
    functions = {n for n in public if n.islower() and not n.startswith("_")}
    assert functions == {name.partition(",")[0] for name in LOSSES}


def logistic_levels(mean, log_scale, levels):
    """The nearest level of a logistic number, the outer ones taking all that is beyond."""

    def sample(key, count):
        number = mean + np.exp(log_scale) * jax.random.logistic(key, (count, 1))
        return jnp.round(jnp.clip(number, 0.0, 1.0) * (levels - 1)) / (levels - 1)

    return sample


def mixed(key, count):
    which, drawn = jax.random.split(key)
    k = jax.random.categorical(which, jnp.array([0.0, 1.0]), shape=(count, 1))
    return logistic_levels(jnp.array([0.1, 0.8])[k], jnp.array([-3.0, -2.0])[k], 16)(drawn, count)


BITS = np.stack(np.meshgrid(*[[0.0, 1.0]] * 3, indexing="ij"), -1).reshape(-1, 3)
LOGITS = np.array([-2.0, 0.3, 1.0])
SAMPLERS = {
    "bernoulli": (
        lambda x: likelihoods.bernoulli(x, LOGITS),
        lambda key, count: jax.random.bernoulli(key, jax.nn.sigmoid(LOGITS), (count, 3)).astype(float),
        {"support": BITS},
    ),
    "gaussian": (
        lambda x: likelihoods.gaussian(x, 0.3, -1.0),
        lambda key, count: 0.3 + np.exp(-1.0) * jax.random.normal(key, (count,)),
        {"interval": (-2.0, 2.6)},
    ),
    "discretized_logistic": (
        lambda x: likelihoods.discretized_logistic(x, 0.4, -1.5),
        logistic_levels(0.4, -1.5, 256),
        {"support": EVERY_LEVEL},
    ),
    "discretized_logistic_mixture": (
        lambda x: likelihoods.discretized_logistic_mixture(
            x,
            *(jnp.broadcast_to(p, (*x.shape, 2)) for p in np.array([[0.0, 1.0], [0.1, 0.8], [-3.0, -2.0]])),
            levels=16,
        ),
        mixed,
        {"support": np.arange(16)[:, None] / 15},
    ),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_likelihood_is_the_probability_of_what_it_describes(name):
    log_prob, sample, where = SAMPLERS[name]
    check_sampler(log_prob, sample, **where)
