"""A random forest over pixel contexts on scikit-learn's digits at 16x16, each binarised 20 times for it."""

from gen_jax.config import base


def get_config():
    config = base("forest")
    config.data.name = "digits"
    config.data.binarize = "dynamic"
    config.model.trees = 32
    config.model.leaves = 8192
    config.model.least = 10
    config.model.passes = 20
    return config
