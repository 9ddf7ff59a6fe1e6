"""DCGAN on MNIST at 28x28: the relativistic game with R1 and R2, batch norm in the generator only.

    gen-jax prepare mnist
    gen-jax train --config=gan_mnist

Grey MNIST is not measured yet: the copy of `mnist` at hand for gen_jax 0.1 held Fashion-MNIST. Measured instead on real
digits in their fixed binarisation,

    gen-jax train --config=gan_mnist --config.data.name=binarized_mnist

on 2 cores of a shared x86-64 machine, JAX 0.10.2, which other work kept busy meanwhile: 631 s.
Most samples are legible digits from step 1,500 on; mean pairwise distance of 256 samples
11.22, of real digits 11.43. That set has no labels, so no classifier was asked. At
half the width, the non-saturating game gave smears with a spectral norm in the critic (3,500 steps) and with a batch
norm (1,500), where this one gave digits after 1,500.
"""

from gen_jax.config import base


def get_config():
    config = base("gan")
    config.data.name = "mnist"
    config.data.batch_size = 64
    config.model.latent_size = 64
    config.model.generator = {"name": "dcgan", "width": 64, "norm": "batch"}
    config.model.discriminator = {"name": "dcgan", "width": 64, "norm": "none"}
    config.objective.loss = "relativistic"
    config.objective.r1_weight = 1.0
    config.objective.r2_weight = 1.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.b2 = 0.95
    config.optimizer.average = 20_000.0
    config.train.steps = 3000
    config.train.log_every = 100
    config.train.sample_every = 500
    config.train.checkpoint_every = 1000
    return config
