"""MLP VAE on scikit-learn's digits at 16x16."""

from gen_jax.config import base


def get_config():
    config = base("vae")
    config.data.name = "digits"
    config.data.batch_size = 64
    config.data.binarize = "dynamic"
    config.model.latent_size = 16
    config.model.encoder = {"name": "mlp", "widths": (200, 200)}
    config.model.decoder = {"name": "mlp", "widths": (200, 200)}
    config.objective.beta = {"kind": "linear", "start": 0.0, "end": 1.0, "over": 10.0, "unit": "epochs"}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.train.steps = 4000
    config.train.log_every = 100
    config.train.sample_every = 1000
    config.train.checkpoint_every = 1000
    return config
