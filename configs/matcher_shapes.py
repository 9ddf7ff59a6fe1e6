"""Which caption belongs to which picture of shapes: the scorer that reranks what is drawn of them.

gen-jax train --config=matcher_shapes
"""

from gen_jax.config import base


def get_config():
    config = base("matcher")
    config.data.name = "shapes"
    config.data.batch_size = 128
    config.model.condition = ("text",)
    config.model.encoder = {"name": "conv", "width": 32}
    config.model.reader = {"name": "transformer", "layers": 2, "width": 64}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.train.steps = 1500
    config.train.log_every = 100
    config.train.checkpoint_every = 500
    return config
