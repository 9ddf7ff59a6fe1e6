"""A trained run of digits drawn again, each image the first of four draws that a classifier is sure of.

    gen-jax train --config=reuse_digits:runs/0001-gan_digits --config.filter.run=runs/0002-classifier
    gen-jax evaluate RUN

Without `filter.run` it draws what its source draws. Measured: not yet.
"""

from gen_jax.config import base


def get_config(run: str = ""):
    config = base("reuse")
    config.data.name = "digits"
    config.source.run = run
    return config
