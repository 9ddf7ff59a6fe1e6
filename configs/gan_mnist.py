"""DCGAN on MNIST at 28x28."""

from gen_jax.config import base


def get_config():
    config = base("gan")
    config.data.name = "mnist"
    config.data.batch_size = 64
    config.model.latent_size = 64
    config.model.generator = {"name": "dcgan", "width": 32, "norm": "batch"}
    config.model.discriminator = {"name": "dcgan", "width": 32, "norm": "spectral"}
    config.objective.loss = "non_saturating"
    config.optimizer.learning_rate = 2e-4
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = 0.999
    config.optimizer.average = 20_000.0
    config.train.steps = 6000
    config.train.log_every = 100
    config.train.sample_every = 500
    config.train.checkpoint_every = 1000
    return config
