"""Strokes of a pen beside scikit-learn's digits at 16x16: what a score is worth that knows strokes and no digits.

    gen-jax train --config=rules_digits
    gen-jax interpolate RUN --seeds=0-7

Nothing is learned. Measured with JAX 0.10.2 on 2 busy cores of an AMD EPYC (Zen 5): 5 s of processor time. Three sets
of 299 samples: fd_classifier 525 +- 24 (`random_digits` 407), precision 0.01, recall 0.30, 10 classes found in two sets
of three, mean top probability 0.90. The grid looks like handwriting that nobody can read.
"""

from gen_jax.config import base


def get_config():
    config = base("rules")
    config.data.name = "digits"
    config.model.kind = "strokes"
    config.model.objects = 2
    return config
