"""A transformer over the pixels of MNIST at 14x14, black and white, asked for a class.

    gen-jax train --config=gpt_mnist
    gen-jax train --config=gpt_mnist --config.data.name=binarized_mnist --config.data.image_size=0 \\
        --config.data.binarize=none

The second trains on the fixed binarisation of 28x28 that papers use, where PixelCNN has 81.30 nats.

Not run in full yet: nothing is known of its samples. Measured on 2 cores of an AMD EPYC (Zen 5), JAX 0.10.2: an update
of 64 images takes 1.4 s of processor time.
"""

from gen_jax.config import base


def get_config():
    config = base("gpt")
    config.data.name = "mnist"
    config.data.image_size = 14
    config.data.binarize = "threshold"
    config.data.batch_size = 64
    config.model.condition = ("label",)
    config.model.transformer = {"name": "transformer", "layers": 4, "width": 128, "heads": 4, "dropout": 0.0}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.optimizer.average = 20_000
    config.train.steps = 6000
    config.train.log_every = 100
    config.train.sample_every = 2000
    config.train.checkpoint_every = 1000
    return config
