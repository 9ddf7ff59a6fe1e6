"""MLP VAE on dynamically binarised MNIST."""

from gen_jax.config import base


def get_config():
    config = base("vae")
    config.data.name = "mnist"
    config.data.batch_size = 96
    config.data.binarize = "dynamic"
    config.model.latent_size = 50
    config.model.encoder = {"name": "mlp", "widths": (200, 200)}
    config.model.decoder = {"name": "mlp", "widths": (200, 200)}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 2e-3, "end": 0.0}
    config.optimizer.eps = 1e-4
    config.train.steps = 180_000
    config.train.steps_per_call = 5
    config.train.log_every = 500
    config.train.sample_every = 20_000
    config.train.checkpoint_every = 20_000
    return config
