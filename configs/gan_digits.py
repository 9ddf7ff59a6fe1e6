"""A small GAN on scikit-learn's digits at 16x16."""

from gen_jax.config import base


def get_config():
    config = base("gan")
    config.data.name = "digits"
    config.data.batch_size = 64
    config.model.latent_size = 64
    config.model.generator = {"name": "convnet", "width": 32}
    config.model.discriminator = {"name": "convnet", "width": 32}
    config.objective.loss = "relativistic"
    config.objective.r1_weight = 0.1
    config.objective.r2_weight = 0.1
    config.optimizer.learning_rate = 5e-4
    config.optimizer.b2 = 0.95
    config.optimizer.average = 20_000.0
    config.train.steps = 1600
    config.train.log_every = 50
    config.train.sample_every = 400
    config.train.checkpoint_every = 400
    return config
