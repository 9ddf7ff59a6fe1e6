"""The VAE against models whose likelihood is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from shrunk import shrunk

from gen_jax import methods, randomness
from gen_jax.evaluation import evaluate
from gen_jax.evaluation.evaluate import importance_weighted
from gen_jax.method import variables_of
from gen_jax.program import build


def program(tmp_path, **overrides):
    return build(shrunk("vae_digits", tmp_path, **overrides))


def linear_gaussian(tmp_path, pixels=16, latents=3, scale=0.3, seed=0):
    """x = W z + b + scale * noise with orthogonal columns of W: the exact posterior is diagonal.

    Returns the Method, Variables that hold this model with its exact posterior, and log p(x) of an image.
    """
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (20, 4, 4), np.uint8).repeat(2, 1).repeat(2, 2)
    np.savez(tmp_path / "linear.npz", images=images)
    side = 8
    config = shrunk(
        "vae_digits",
        tmp_path,
        data__path=tmp_path / "linear.npz",
        data__binarize="none",
        data__batch_size=8,
        objective__likelihood="gaussian",
        objective__scale="fixed",
        objective__log_scale=np.log(scale),
        model__latent_size=latents,
        model__encoder__widths="()",
        model__decoder__widths="()",
    )
    method = build(config).method
    basis = np.linalg.qr(rng.normal(size=(side * side, latents)))[0]
    weights = basis * np.array([1.5, 1.0, 0.5])
    bias = rng.normal(size=side * side)
    precision = 1 + (weights**2).sum(0) / scale**2
    gain = weights.T / scale**2 / precision[:, None]
    params = {
        "decoder": {"output": {"kernel": weights.T, "bias": bias}},
        "encoder": {
            "mean": {"kernel": gain.T, "bias": -gain @ bias},
            "log_std": {"kernel": np.zeros_like(gain.T), "bias": -0.5 * np.log(precision)},
        },
    }
    covariance = weights @ weights.T + scale**2 * np.eye(side * side)
    variables = methods.vae.Variables(jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params), {})
    exact = lambda x: stats.multivariate_normal(bias, covariance).logpdf(x.reshape(len(x), -1))
    return method, variables, exact


def test_exact_posterior_gives_the_exact_likelihood(tmp_path):
    """With q(z|x) = p(z|x) the bound is tight and every importance weight is log p(x), whatever k."""
    method, variables, exact = linear_gaussian(tmp_path)
    images = jnp.asarray(np.random.default_rng(1).uniform(size=(5, 8, 8, 1)), jnp.float32)
    keys = randomness.image_keys(np.arange(5))
    truth = exact(images)
    for samples in (1, 7, 50):
        estimate = importance_weighted(method, variables, images, keys, samples, {})
        np.testing.assert_allclose(estimate, truth, rtol=2e-4)
    bound = jax.jit(lambda keys: method.bound(variables, images, keys, {})["elbo"])
    elbo = jnp.stack([bound(randomness.image_keys(np.arange(5) + 100 * i)) for i in range(400)])
    standard_error = np.asarray(elbo.std(0)) / 20
    assert (np.abs(elbo.mean(0) - truth) < 5 * standard_error + 0.01).all()


def test_likelihood_converges_from_below_with_a_wrong_posterior(tmp_path):
    """A widened posterior: the estimate of k = 2000 is exact to 0.05 nats, and one sample is worse."""
    method, variables, exact = linear_gaussian(tmp_path)
    params = jax.tree.map(jnp.copy, variables.params)
    params["encoder"]["log_std"]["bias"] += 0.5
    wrong = methods.vae.Variables(params, {})
    images = np.random.default_rng(1).uniform(size=(64, 8, 8, 1)).astype(np.float32)
    keys = randomness.image_keys(np.arange(64))
    truth = exact(images)
    one, many = (np.asarray(importance_weighted(method, wrong, images, keys, k, {})) for k in (1, 2000))
    assert (one - truth).mean() < -0.3
    np.testing.assert_allclose(many, truth, atol=0.2)
    assert abs((many - truth).mean()) < 0.05


def test_estimate_does_not_depend_on_the_batch_or_the_blocks(tmp_path, monkeypatch):
    method, variables, _ = linear_gaussian(tmp_path)
    images = np.random.default_rng(1).uniform(size=(6, 8, 8, 1)).astype(np.float32)
    keys = randomness.image_keys(np.arange(6))
    whole = importance_weighted(method, variables, images, keys, 30, {})
    part = importance_weighted(method, variables, images[4:], keys[4:], 30, {})
    np.testing.assert_allclose(whole[4:], part, rtol=1e-5)
    monkeypatch.setattr(evaluate, "PIXELS_AT_ONCE", {"cpu": 7 * images.size})  # the last of five blocks is not full
    blocks = importance_weighted(method, variables, images, keys, 30, {})
    np.testing.assert_allclose(whole, blocks, rtol=1e-5)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "discretized_logistic"])
def test_decoder_starts_at_the_mean_image(likelihood, tmp_path):
    binarize = "dynamic" if likelihood == "bernoulli" else "none"
    p = program(tmp_path, objective__likelihood=likelihood, data__binarize=binarize)
    images = p.method.decode(variables_of(p.method, p.init()), jnp.zeros((1, 4)), {})
    np.testing.assert_allclose(images[0], np.clip(p.dataset.mean(), 0.001, 0.999), atol=1e-5)


def test_step_minimises_the_negative_bound_of_the_batch(tmp_path):
    """The gradient of one SGD step is that of -(log p(x|z) - beta KL), written out here."""
    p = program(tmp_path, optimizer__name="sgd", optimizer__b1=0.0, objective__beta="0.3")
    state = jax.device_get(p.init())
    feed = next(p.feeds(0))
    new, metrics = p.update(p.init(), feed, (None,))
    rows = np.arange(64)
    batch = p.dataset.batch(0, rows)
    data_key = jax.random.fold_in(randomness.stream(0, randomness.DATA), 0)
    images = np.asarray(p.dataset.transform(batch, data_key, p.dataset.seed)["image"]).reshape(64, -1) / 255.0
    key = jax.random.fold_in(randomness.stream(0, randomness.TRAIN), 0)
    noise = randomness.normal(randomness.row_keys(key, rows), (4,))

    def dense(layer, x):
        return x @ layer["kernel"] + layer["bias"]

    def loss(params):
        hidden = jnp.tanh(dense(params["encoder"]["Dense_0"], images))
        mu, log_std = dense(params["encoder"]["mean"], hidden), dense(params["encoder"]["log_std"], hidden)
        z = mu + jnp.exp(log_std) * noise
        logits = dense(params["decoder"]["output"], jnp.tanh(dense(params["decoder"]["Dense_0"], z)))
        log_p = (images * jax.nn.log_sigmoid(logits) + (1 - images) * jax.nn.log_sigmoid(-logits)).sum(1)
        kl = 0.5 * (mu**2 + jnp.exp(2 * log_std) - 2 * log_std - 1).sum(1)
        return (0.3 * kl - log_p).mean()

    value, gradient = jax.value_and_grad(loss)(state.params)
    assert float(metrics["loss"].total[0]) / 64 == pytest.approx(float(value), rel=1e-5)
    trace = jax.tree.leaves(new.opt_state)
    for mine, theirs in zip(trace, jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5 * np.abs(theirs).max() + 1e-7)


def test_temperature_zero_is_the_image_of_the_prior_mean(tmp_path):
    p = program(tmp_path)
    variables = variables_of(p.method, p.init())
    keys = randomness.image_keys(np.arange(3))
    images = p.method.sample(variables, keys, {}, 0.0)
    np.testing.assert_array_equal(images[0], images[2])
    np.testing.assert_allclose(images[:1], p.method.decode(variables, jnp.zeros((1, 4)), {}), atol=1e-6)


def test_conditional_networks_use_the_label(tmp_path):
    p = program(tmp_path, model__condition="label")
    variables = variables_of(p.method, p.init())
    # The label's embedding starts at zero: the model is unconditional until it learns not to be.
    variables.params["decoder"]["Embed_0"]["label"]["embedding"] += jnp.arange(10.0)[:, None]
    keys = randomness.image_keys(np.zeros(2, int))
    images = p.method.sample(variables, keys, {"label": jnp.array([1, 2])}, 1.0)
    assert not np.allclose(images[0], images[1])
