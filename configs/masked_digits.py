"""A masked transformer over the 17 grey levels of scikit-learn's digits as they are, 8x8, asked for a class.

gen-jax train --config=masked_digits
gen-jax evaluate RUN
gen-jax complete RUN --mask=left
"""

from gen_jax.config import base


def get_config():
    config = base("masked")
    config.data.name = "digits"
    config.data.image_size = 8
    config.data.batch_size = 64
    config.model.condition = ("label",)
    config.model.levels = 17
    config.model.exact = True
    config.model.transformer = {"name": "transformer", "layers": 4, "width": 128, "heads": 4, "dropout": 0.1}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.optimizer.average = 20_000
    config.sample.steps = 16
    config.train.steps = 1500
    config.train.log_every = 50
    config.train.sample_every = 500
    config.train.checkpoint_every = 500
    return config
