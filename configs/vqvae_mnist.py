"""A VQ-VAE on MNIST: 28x28 grey images as 7x7 codes of 256.

gen-jax prepare mnist
gen-jax train --config=vqvae_mnist
gen-jax evaluate RUN
"""

from gen_jax.config import base


def get_config():
    config = base("tokenizer")
    config.data.name = "mnist"
    config.data.batch_size = 64
    config.model.quantizer = "vq"
    config.model.codes = 256
    config.model.levels = (8, 8, 4)
    config.model.encoder = {"name": "residual", "width": 64}
    config.model.decoder = {"name": "residual", "width": 64}
    config.objective.temperature = {"kind": "cosine", "start": 1.0, "end": 1 / 16}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.train.steps = 3000
    config.train.log_every = 100
    config.train.checkpoint_every = 1500
    return config
