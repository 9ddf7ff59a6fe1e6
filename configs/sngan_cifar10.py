"""SNGAN on CIFAR-10."""

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
