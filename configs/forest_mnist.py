"""A random forest over pixel contexts on MNIST in the fixed binarisation of the likelihood literature."""

from gen_jax.config import base


def get_config():
    config = base("forest")
    config.data.name = "binarized_mnist"
    config.model.context = 5
    config.model.trees = 16
    config.model.leaves = 32768
    config.model.rows = 1_000_000
    return config
