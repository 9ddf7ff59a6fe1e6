"""A random forest over pixel contexts on MNIST in the fixed binarisation of the likelihood literature.

    gen-jax prepare binarized_mnist
    gen-jax train --config=forest_mnist
    gen-jax evaluate RUN --images=1000

Measured: TODO_NUMBER s.
"""

from gen_jax.config import base


def get_config():
    config = base("forest")
    config.data.name = "binarized_mnist"
    config.model.context = 4
    config.model.trees = 8
    config.model.leaves = 32768
    config.model.least = 1
    config.model.features = 0.4
    config.model.rows = 1_000_000
    return config
