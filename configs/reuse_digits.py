"""A trained run of digits drawn again, each image the first of four draws that a classifier is sure of.

    gen-jax train --config=reuse_digits:runs/0001-gan_digits --config.filter.run=runs/0002-classifier
    gen-jax evaluate RUN

Without `filter.run` it draws what its source draws. Measured on 2 cores of a shared x86-64 machine, JAX 0.10.2, on a
run of vae_digits, filtered by one of configs/classifier.py: 10 s. Of three sets of 299 samples fd_classifier 23.5 +-
2.0 (unfiltered 27.7 +- 3.2), mean top probability 0.980 (0.877), precision 0.45 (0.40), recall 0.90 (0.88). The filter
and the score see the same classifier recipe: a part of the gain is that.
"""

from gen_jax.config import base


def get_config(run: str = ""):
    config = base("reuse")
    config.data.name = "digits"
    config.source.run = run
    return config
