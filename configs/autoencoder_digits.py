"""A MLP autoencoder on scikit-learn's digits at 16x16, with a Gaussian mixture over its latents."""

from gen_jax.config import base


def get_config():
    config = base("autoencoder")
    config.data.name = "digits"
    config.data.batch_size = 64
    config.model.latent_size = 16
    config.model.components = 10
    config.model.encoder = {"name": "mlp", "widths": (200, 200)}
    config.model.decoder = {"name": "mlp", "widths": (200, 200)}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.train.steps = 4000
    config.train.log_every = 100
    config.train.sample_every = 1000
    config.train.checkpoint_every = 1000
    return config
