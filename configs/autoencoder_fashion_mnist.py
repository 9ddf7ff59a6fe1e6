"""A convolutional autoencoder on Fashion-MNIST, with a Gaussian mixture over its latents.

    gen-jax prepare fashion_mnist
    gen-jax train --config=autoencoder_fashion_mnist
    gen-jax evaluate RUN

Not measured: the training ran (8,000 steps in some 10 min of a busy machine), the fit of the mixture was not seen to
end, and nothing was scored. Measured was only that two iterations of the fit on 60,000 latents take 35 s there.
"""

from gen_jax.config import base


def get_config():
    config = base("autoencoder")
    config.data.name = "fashion_mnist"
    config.data.batch_size = 64
    config.model.latent_size = 16
    config.model.components = 20
    config.model.encoder = {"name": "conv", "width": 16}
    config.model.decoder = {"name": "conv", "width": 16}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.train.steps = 8000
    config.train.log_every = 100
    config.train.sample_every = 2000
    config.train.checkpoint_every = 2000
    return config
