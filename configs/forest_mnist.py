"""A random forest over pixel contexts on MNIST in the fixed binarisation of the likelihood literature.

    gen-jax prepare binarized_mnist
    gen-jax train --config=forest_mnist
    gen-jax evaluate RUN --images=1000

Measured on 2 cores of a shared x86-64 machine that other work kept busy, JAX 0.10.2: 252 s, 155 s of them of
processor time; a prototype of it took 0.8 GB. Exact NLL of the 10,000 test images 91.18 +- 0.21 nats (standard error),
where vae_mnist has 89.33 by importance sampling. Three sets of 1,000 samples: fd_random 8.24 +- 0.16 (of 1,000 test
images 2.07), precision 0.14 (0.80), recall 0.75 (0.82). Most samples look like digits, with broken strokes.
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
