"""A small classifier of any labelled set: what `gen-jax evaluate` measures generated images with.

    gen-jax train --config=classifier
    gen-jax train --config=classifier:fashion_mnist

`gen-jax evaluate` trains one by itself, once per data set, and keeps it. Measured on 2 cores of a shared x86-64
machine, JAX 0.10.2, one seed each: digits 13 s, right on 98.0 % of the 299 test images; fashion_mnist 42 s, 88.2 % of
10,000; mnist 98.6 % of 10,000; CIFAR-10 as lossy JPEG 82 s, 61.4 % of 10,000. A thousand steps are one to forty passes
over these sets: enough to tell classes apart, not a record. A score says which classifier saw it, and how good that
was.
"""

from gen_jax.config import base


def get_config(name: str = "digits"):
    config = base("classifier")
    config.data.name = name
    config.data.batch_size = 64
    config.model.classifier = {"name": "cnn", "width": 32, "features": 128}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.train.steps = 1000
    config.train.log_every = 100
    config.train.checkpoint_every = 500
    return config
