"""Losses against PyTorch and its automatic differentiation, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics import convolutional

from gen_jax.losses import adversarial, bounds, divergences, likelihoods, penalties

torch = pytest.importorskip("torch", reason="PyTorch is an optional oracle: install gen_jax[torch]")
F = torch.nn.functional

pytestmark = pytest.mark.extra

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(size=(2, 16)) * 3.0
PARAMS = {"kernel": 0.5 * RNG.normal(size=(3, 3, 2, 4)), "head": RNG.normal(size=(6, 6, 4))}
IMAGES = RNG.uniform(size=(2, 5, 6, 6, 2))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def tensor(x, grad=False):
    return torch.tensor(np.asarray(x), dtype=torch.float64, requires_grad=grad)


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target), reduction="none")


def torch_game(name, real, fake):
    """(discriminator, generator) out of PyTorch's own losses where it has them."""
    one = torch.ones_like(real)
    return {
        "minimax": lambda: (bce(real, 1.0) + bce(fake, 0.0), -bce(fake, 0.0)),
        "non_saturating": lambda: (bce(real, 1.0) + bce(fake, 0.0), bce(fake, 1.0)),
        # margin_ranking_loss(a, b, +1) = max(0, b - a + margin).
        "hinge": lambda: (
            F.margin_ranking_loss(real, 0 * one, one, margin=1.0, reduction="none")
            + F.margin_ranking_loss(0 * one, fake, one, margin=1.0, reduction="none"),
            -fake,
        ),
        "least_squares": lambda: (
            0.5 * F.mse_loss(real, one, reduction="none") + 0.5 * F.mse_loss(fake, 0 * one, reduction="none"),
            0.5 * F.mse_loss(fake, one, reduction="none"),
        ),
        "wasserstein": lambda: (fake - real, -fake),
        # The soft margin loss: log(1 + exp(-target * input)).
        "relativistic": lambda: (
            F.soft_margin_loss(real - fake, one, reduction="none"),
            F.soft_margin_loss(real - fake, -one, reduction="none"),
        ),
    }[name]()


@pytest.mark.parametrize("name", adversarial.OBJECTIVES)
def test_objectives_and_their_gradients(name):
    real, fake = tensor(REAL, grad=True), tensor(FAKE, grad=True)
    theirs = torch_game(name, real, fake)
    ours, vjp = jax.vjp(adversarial.OBJECTIVES[name], jnp.asarray(REAL), jnp.asarray(FAKE))
    ones, zeros = jnp.ones(16), jnp.zeros(16)
    for i, cotangent in enumerate([(ones, zeros), (zeros, ones)]):
        np.testing.assert_allclose(ours[i], theirs[i].detach(), rtol=1e-12)
        slopes = torch.autograd.grad(theirs[i].sum(), (real, fake), allow_unused=True)
        for slope, expected in zip(vjp(adversarial.GameLosses(*cotangent)), slopes, strict=True):
            np.testing.assert_allclose(slope, 0.0 if expected is None else expected, rtol=1e-12, atol=1e-15)


def torch_critic(params, x):
    x = F.conv2d(x.permute(0, 3, 1, 2), params["kernel"].permute(3, 2, 0, 1), padding=1)
    return (torch.tanh(x).permute(0, 2, 3, 1) * params["head"]).sum(dim=(1, 2, 3))


def mixing_coefficients(key, batch):
    """Read off the critic D(u) = u^2 / 4 between 1 (real) and 0 (generated): the penalty is (e / 2 - 1)^2."""
    one = jnp.ones((batch, 1, 1, 1))
    penalty = penalties.gradient_penalty(lambda u: 0.25 * u[:, 0, 0, 0] ** 2, one, 0.0 * one, key)
    return 2.0 * (1.0 - jnp.sqrt(penalty))[:, None, None, None]


@pytest.mark.parametrize("name", ["r1", "r2", "gradient_penalty"])
def test_penalties_and_their_parameter_gradients(name):
    real, fake, key = jnp.asarray(IMAGES[0]), jnp.asarray(IMAGES[1]), jax.random.key(1)

    def ours(params):
        critic = convolutional(params)
        if name == "gradient_penalty":
            return penalties.gradient_penalty(critic, real, fake, key)
        return {"r1": penalties.r1, "r2": penalties.r2}[name](critic, real)

    e = mixing_coefficients(key, 5)
    points = tensor(e * real + (1.0 - e) * fake if name == "gradient_penalty" else real, grad=True)
    params = {k: tensor(v, grad=True) for k, v in PARAMS.items()}
    (slope,) = torch.autograd.grad(torch_critic(params, points).sum(), points, create_graph=True)
    squared = slope.flatten(1).pow(2).sum(dim=1)
    theirs = (squared.sqrt() - 1.0) ** 2 if name == "gradient_penalty" else squared

    jax_params = {k: jnp.asarray(v) for k, v in PARAMS.items()}
    np.testing.assert_allclose(ours(jax_params), theirs.detach(), rtol=1e-9)
    theirs.mean().backward()
    slopes = jax.grad(lambda p: ours(p).mean())(jax_params)
    for leaf in PARAMS:
        np.testing.assert_allclose(slopes[leaf], params[leaf].grad, rtol=1e-8, atol=1e-12)


def test_bernoulli():
    x, logits = RNG.integers(0, 2, size=(4, 6, 6, 1)) * 1.0, RNG.normal(size=(4, 6, 6, 1)) * 5.0
    theirs = -F.binary_cross_entropy_with_logits(tensor(logits), tensor(x), reduction="none").sum(dim=(1, 2, 3))
    np.testing.assert_allclose(likelihoods.bernoulli(jnp.asarray(x), jnp.asarray(logits)), theirs, rtol=1e-12)


def test_gaussian():
    x, mean, log_std = RNG.normal(size=(3, 4, 6, 6, 2))
    theirs = torch.distributions.Normal(tensor(mean), tensor(log_std).exp()).log_prob(tensor(x)).sum(dim=(1, 2, 3))
    ours = likelihoods.gaussian(jnp.asarray(x), jnp.asarray(mean), jnp.asarray(log_std))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def torch_bin_mass(x, mean, log_scale):
    """F(x + h) - F(x - h) with F from an affine transform of the logit of a uniform variable."""
    uniform = torch.distributions.Uniform(tensor(0.0), tensor(1.0))
    transforms = [
        torch.distributions.transforms.SigmoidTransform().inv,
        torch.distributions.transforms.AffineTransform(mean, log_scale.exp()),
    ]
    logistic = torch.distributions.TransformedDistribution(uniform, transforms)
    upper = torch.where(x == 1.0, torch.ones_like(mean), logistic.cdf(x + 0.5 / 255))
    return upper - torch.where(x == 0.0, torch.zeros_like(mean), logistic.cdf(x - 0.5 / 255))


def test_discretized_logistic_and_its_gradients():
    x, mean = RNG.integers(0, 256, size=(4, 30)) / 255.0, RNG.uniform(size=(4, 30))
    x[:, 0], x[:, 1], log_scale = 0.0, 1.0, RNG.uniform(-2.0, 1.0, size=(4, 30))
    m, s = tensor(mean, grad=True), tensor(log_scale, grad=True)
    theirs = torch_bin_mass(tensor(x), m, s).log().sum(dim=1)
    theirs.sum().backward()

    def ours(m, s):
        return likelihoods.discretized_logistic(jnp.asarray(x), m, s)

    np.testing.assert_allclose(ours(jnp.asarray(mean), jnp.asarray(log_scale)), theirs.detach(), rtol=1e-9)
    slopes = jax.grad(lambda *p: ours(*p).sum(), argnums=(0, 1))(jnp.asarray(mean), jnp.asarray(log_scale))
    np.testing.assert_allclose(slopes[0], m.grad, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(slopes[1], s.grad, rtol=1e-6, atol=1e-9)


def test_discretized_logistic_mixture():
    x, parameters = RNG.integers(0, 256, size=(4, 30)) / 255.0, RNG.uniform(size=(3, 4, 30, 5))
    logits, means, log_scales = parameters[0], parameters[1], -2.0 * parameters[2]
    mass = torch_bin_mass(tensor(x)[..., None].expand(4, 30, 5), tensor(means), tensor(log_scales))
    theirs = (torch.softmax(tensor(logits), dim=-1) * mass).sum(dim=-1).log().sum(dim=1)
    ours = likelihoods.discretized_logistic_mixture(*map(jnp.asarray, (x, logits, means, log_scales)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_gaussian_kl():
    mean, log_std, prior_mean, prior_log_std = RNG.normal(size=(4, 6, 3))
    q = torch.distributions.Normal(tensor(mean), tensor(log_std).exp())
    p = torch.distributions.Normal(tensor(prior_mean), tensor(prior_log_std).exp())
    prior = jnp.asarray(prior_mean), jnp.asarray(prior_log_std)
    ours = divergences.gaussian_kl(jnp.asarray(mean), jnp.asarray(log_std), prior)
    np.testing.assert_allclose(ours, torch.distributions.kl_divergence(q, p), rtol=1e-9, atol=1e-12)
    standard = torch.distributions.Normal(torch.zeros_like(q.loc), torch.ones_like(q.loc))
    ours = divergences.gaussian_kl(jnp.asarray(mean), jnp.asarray(log_std))
    np.testing.assert_allclose(ours, torch.distributions.kl_divergence(q, standard), rtol=1e-9, atol=1e-12)


def test_importance_weighted_and_its_gradient():
    log_weights = 20.0 * RNG.normal(size=(7, 5))
    w = tensor(log_weights, grad=True)
    theirs = torch.logsumexp(w, dim=0) - np.log(7.0)
    theirs.sum().backward()
    np.testing.assert_allclose(bounds.importance_weighted(jnp.asarray(log_weights)), theirs.detach(), rtol=1e-12)
    slope = jax.grad(lambda w: bounds.importance_weighted(w).sum())(jnp.asarray(log_weights))
    np.testing.assert_allclose(slope, w.grad, rtol=1e-9, atol=1e-15)
