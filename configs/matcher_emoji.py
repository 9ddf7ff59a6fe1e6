"""Which caption belongs to which emoji.

gen-jax train --config=matcher_emoji
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
