"""A transformer that draws scenes of shapes from their captions, over the codes of a tokenizer's run.

    gen-jax train --config=fsq_shapes --workdir=TOKENIZER
    gen-jax train --config=gpt_shapes --config.source.run=TOKENIZER
    gen-jax sample RUN --condition.text="a small red circle above a large blue square" --guidance=2

Not run in full yet: nothing is known of its samples. Measured on 2 cores of an AMD EPYC (Zen 5), JAX 0.10.2: an update
of 64 images takes 0.85 s of processor time.
"""

from gen_jax.config import base


def get_config():
    config = base("gpt")
    config.data.name = "shapes"
    config.data.batch_size = 64
    config.model.condition = ("text",)
    config.model.transformer = {"name": "transformer", "layers": 4, "width": 192, "heads": 6, "positions": "rotary"}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.optimizer.average = 20_000
    config.train.steps = 5000
    config.train.log_every = 50
    config.train.sample_every = 1000
    config.train.checkpoint_every = 500
    return config
