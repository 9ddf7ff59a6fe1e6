"""DCGAN on MNIST at 28x28."""

from gen_jax.config import base


def get_config():
    config = base("gan")
    config.data.name = "mnist"
    config.data.batch_size = 64
    config.model.latent_size = 64
    config.model.generator = {"name": "dcgan", "width": 64, "norm": "batch"}
    config.model.discriminator = {"name": "dcgan", "width": 64, "norm": "none"}
    config.objective.loss = "relativistic"
    config.objective.r1_weight = 1.0
    config.objective.r2_weight = 1.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.b2 = 0.95
    config.optimizer.average = 20_000.0
    config.train.steps = 3000
    config.train.log_every = 100
    config.train.sample_every = 500
    config.train.checkpoint_every = 1000
    return config
