"""Convolutional VAE on Fashion-MNIST with a discretised logistic likelihood."""

from gen_jax.config import base


def get_config():
    config = base("vae")
    config.data.name = "fashion_mnist"
    config.data.batch_size = 64
    config.model.latent_size = 16
    config.model.encoder = {"name": "conv", "width": 16}
    config.model.decoder = {"name": "conv", "width": 16}
    config.objective.likelihood = "discretized_logistic"
    config.objective.log_scale = -2.0
    config.objective.beta = {"kind": "linear", "start": 0.0, "end": 1.0, "over": 2.0, "unit": "epochs"}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.train.steps = 12_000
    config.train.log_every = 100
    config.train.sample_every = 2000
    config.train.checkpoint_every = 2000
    return config
