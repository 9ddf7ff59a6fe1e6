"""Random pixels on scikit-learn's digits at 16x16."""

from gen_jax.config import base


def get_config():
    config = base("random")
    config.data.name = "digits"
    return config
