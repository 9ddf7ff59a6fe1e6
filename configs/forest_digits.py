"""A random forest over pixel contexts on scikit-learn's digits at 16x16, each binarised ten times for it.

    gen-jax train --config=forest_digits
    gen-jax evaluate RUN

Measured: TODO_NUMBER s.
"""

from gen_jax.config import base


def get_config():
    config = base("forest")
    config.data.name = "digits"
    config.data.binarize = "dynamic"
    config.model.trees = 16
    config.model.leaves = 16384
    config.model.least = 1
    config.model.features = 0.4
    config.model.rows = 250_000
    config.model.passes = 10
    return config
