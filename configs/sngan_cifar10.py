"""SNGAN-ResNet on CIFAR-10 (Miyato et al. 2018): hinge, spectral norm, five critic steps, the published recipe.

    gen-jax prepare cifar10
    gen-jax train --config=sngan_cifar10

The full run of 100,000 steps was NOT made: it wants a GPU, and none was at hand; nor was CIFAR-10 itself. Measured on
2 CPU cores of a shared machine, on CIFAR-10 as lossy JPEG,

    gen-jax train --config=sngan_cifar10 --config.data.name=cifar10_jpeg --config.train.steps=50 \
        --config.train.log_every=5

50 steps of the recipe's batch of 64, with 46 s of compilation: 3.7 img/s over the first eight steps, while nothing
else ran (17 s a step; images of one batch a step, a step eats six), 45 min in all, since other work ran from then on.
Every loss is finite (critic 2.14 at step 5, 0.07 at step 50), and the samples change, from bright to dark blobs.
Published FID of the full run: 21.7 (paper), 16.8 (StudioGAN).
"""

from gen_jax.config import base


def get_config():
    config = base("gan")
    config.data.name = "cifar10"
    config.data.batch_size = 64
    config.model.latent_size = 128
    config.model.generator = {"name": "sngan", "width": 256, "norm": "batch"}
    config.model.discriminator = {"name": "sngan", "width": 128, "norm": "spectral"}
    config.objective.loss = "hinge"
    config.optimizer.learning_rate = {"kind": "linear", "start": 2e-4, "end": 0.0}
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.9
    config.train.critic_steps = 5
    config.train.steps = 100_000
    config.train.log_every = 100
    config.train.sample_every = 2000
    config.train.checkpoint_every = 2000
    return config
