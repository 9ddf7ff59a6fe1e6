"""Random pixels on scikit-learn's digits at 16x16: what a score is worth that knows no shape.

    gen-jax train --config=random_digits
    gen-jax train --config=random_digits --config.model.kind=gaussian
    gen-jax evaluate RUN

Measured on 2 cores of a busy x86-64 machine, JAX 0.10.2: 7 to 18 s in the loop, 0.0 to 2.5 s of it counting. Three sets
of 299 samples, +- over sampling seeds, beside the 299 test digits:

    model.kind            uniform         marginal         gaussian       test digits
    fd_classifier         816 +- 3        407 +- 3         54.4 +- 3.2    8.3
    precision, recall     0.00, 0.00      0.73, 0.00       0.28, 0.74     0.91, 0.92
    density, coverage     0.00, 0.00      0.55, 0.03       0.14, 0.08     0.97, 0.60
    bits/dim (test)       8.000           5.589            a density: -821 +- 4 nats (negative log)

Noise in the shape of the mean digit has a precision of 0.73: precision alone says nothing. The Gaussian's samples are
strokes that close to loops and end anywhere; a few pass for an 8 or a 1.
"""

from gen_jax.config import base


def get_config():
    config = base("random")
    config.data.name = "digits"
    return config
