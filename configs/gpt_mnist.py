"""A transformer over the pixels of MNIST at 14x14, black and white, asked for a class.

    gen-jax train --config=gpt_mnist
    gen-jax train --config=gpt_mnist --config.data.name=binarized_mnist --config.data.image_size=0 \\
        --config.data.binarize=none --config.model.condition= --config.data.batch_size=16

The second trains on the fixed binarisation of 28x28 that papers use, where PixelCNN has 81.30 nats. Only 200 updates of
it were run (8 min on one busy core): the training images had 144 nats then, and it is far from done.

Measured on one core of an AMD EPYC (Zen 5) with JAX 0.10.2: 29 min of processor time, 37 min beside other work. Exact
likelihood of the 10,000 test images, told the class: 25.02 +- 0.08 nats, 0.184 bits/dim. Most samples are legible
digits, with broken strokes here and there.
"""

from gen_jax.config import base


def get_config():
    config = base("gpt")
    config.data.name = "mnist"
    config.data.image_size = 14
    config.data.binarize = "threshold"
    config.data.batch_size = 32
    config.model.condition = ("label",)
    config.model.transformer = {"name": "transformer", "layers": 4, "width": 128, "heads": 4, "dropout": 0.0}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.optimizer.average = 20_000
    config.train.steps = 3600
    config.train.log_every = 100
    config.train.sample_every = 2000
    config.train.checkpoint_every = 1000
    return config
