"""Which caption belongs to which emoji.

    gen-jax train --config=matcher_emoji
    gen-jax evaluate RUN

Measured on 2 cores of a shared x86-64 machine, others busy on it, JAX 0.10.2: 2.6 min. Of the 389 test images, whose
names training does not have (data.split_by=name), 0.095 (standard error 0.015) are nearer to their own caption than to
99 others, and 0.090 of the captions to their own image; chance is 0.01.
"""

from gen_jax.config import base


def get_config():
    config = base("matcher")
    config.data.name = "noto_emoji"
    config.data.split_by = "name"
    config.data.batch_size = 128
    config.model.condition = ("text",)
    config.model.encoder = {"name": "conv", "width": 32}
    config.model.reader = {"name": "transformer", "layers": 2, "width": 64}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.train.steps = 500
    config.train.log_every = 100
    config.train.checkpoint_every = 250
    return config
