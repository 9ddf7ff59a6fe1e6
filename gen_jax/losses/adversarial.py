"""Adversarial objectives: each is one function that returns what both players minimise.

Every function takes the critic's logits on real and on generated images, both [B], unbounded, and returns
GameLosses: one value per example, so that the mean over the batch is the paper's expectation. Where a paper
speaks of a probability, D = sigmoid(logit). No function raises; at +-1e4 losses and gradients are finite.
"""

from typing import NamedTuple

import jax
from jax.nn import relu, softplus
from jaxtyping import Array, Float


class GameLosses(NamedTuple):
    """What each player minimises, [B] each.

    Attributes:
      discriminator: the critic's loss; differentiate with respect to the critic's parameters only.
      generator: the generator's loss; differentiate with respect to the generator's parameters only.
    """

    discriminator: jax.Array
    generator: jax.Array


def minimax(real_logits: Float[Array, " B"], fake_logits: Float[Array, " B"]) -> GameLosses:
    """The original zero-sum game (Goodfellow et al. 2014, eq. 1).

        discriminator: -[log D(x) + log(1 - D(G(z)))]        generator: log(1 - D(G(z)))

    At the equilibrium D = 1/2: discriminator 2 log 2, generator -log 2. The discriminator's loss is >= 0, the
    generator's <= 0, and its gradient vanishes where the discriminator is sure: `non_saturating` cures that.
    """
    return GameLosses(softplus(-real_logits) + softplus(fake_logits), -softplus(fake_logits))


def non_saturating(real_logits: Float[Array, " B"], fake_logits: Float[Array, " B"]) -> GameLosses:
    """The generator maximises log D(G(z)) instead (Goodfellow et al. 2014, end of section 3).

        discriminator: -[log D(x) + log(1 - D(G(z)))]        generator: -log D(G(z))

    At the equilibrium D = 1/2: discriminator 2 log 2, generator log 2. Both are >= 0.
    """
    return GameLosses(softplus(-real_logits) + softplus(fake_logits), softplus(-fake_logits))


def hinge(real_logits: Float[Array, " B"], fake_logits: Float[Array, " B"]) -> GameLosses:
    """The margin loss (Lim & Ye 2017; Miyato et al. 2018, eq. 16 and 17), logits D in the reals.

        discriminator: max(0, 1 - D(x)) + max(0, 1 + D(G(z)))        generator: -D(G(z))

    At an equilibrium D is a constant c in [-1, 1]: discriminator 2, generator -c.
    """
    return GameLosses(relu(1.0 - real_logits) + relu(1.0 + fake_logits), -fake_logits)


def least_squares(real_logits: Float[Array, " B"], fake_logits: Float[Array, " B"]) -> GameLosses:
    """Regression to 1 (real) and 0 (generated) (Mao et al. 2017, eq. 9), logits D in the reals.

        discriminator: 1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2        generator: 1/2 (D(G(z)) - 1)^2

    At the equilibrium D = 1/2: discriminator 1/4, generator 1/8.
    """
    return GameLosses(
        0.5 * (real_logits - 1.0) ** 2 + 0.5 * fake_logits**2,
        0.5 * (fake_logits - 1.0) ** 2,
    )


def wasserstein(real_logits: Float[Array, " B"], fake_logits: Float[Array, " B"]) -> GameLosses:
    """The critic's estimate of the Wasserstein-1 distance, negated (Arjovsky et al. 2017, eq. 2 and 3).

        discriminator: f(G(z)) - f(x)        generator: -f(G(z))

    Means something for a 1-Lipschitz critic only: add `penalties.gradient_penalty` or spectral normalisation.
    At the equilibrium f is a constant c: discriminator 0, generator -c.
    """
    return GameLosses(fake_logits - real_logits, -fake_logits)


def relativistic(real_logits: Float[Array, " B"], fake_logits: Float[Array, " B"]) -> GameLosses:
    """Is this real image more real than this generated one? (RSGAN of Jolicoeur-Martineau 2019.)

        discriminator: -log sigmoid(D(x) - D(G(z)))        generator: -log sigmoid(D(G(z)) - D(x))

    Row i of the real logits is paired with row i of the generated ones, as in R3GAN (Huang et al. 2024,
    eq. 2). At the equilibrium D(x) = D(G(z)): both log 2. Both are >= 0.
    """
    return GameLosses(softplus(fake_logits - real_logits), softplus(real_logits - fake_logits))


OBJECTIVES = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "hinge": hinge,
    "least_squares": least_squares,
    "wasserstein": wasserstein,
    "relativistic": relativistic,
}
