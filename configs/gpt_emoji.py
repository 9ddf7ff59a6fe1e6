"""A transformer that draws emoji from their names, over the codes of a tokenizer's run.

    gen-jax train --config=fsq_emoji --config.data.split_by=name --workdir=TOKENIZER
    gen-jax train --config=gpt_emoji --config.source.run=TOKENIZER
    gen-jax sample RUN --condition.text="grinning cat" --guidance=3

Names are split, skin tones left aside: those of the test are in no training image (`experiments/emoji_score.py`).

Not run in full yet: nothing is known of its samples. Measured on 2 cores of an AMD EPYC (Zen 5), JAX 0.10.2: an update
of 64 images takes 0.88 s of processor time.
"""

from gen_jax.config import base


def get_config():
    config = base("gpt")
    config.data.name = "noto_emoji"
    config.data.split_by = "name"
    config.data.image_size = 32
    config.data.batch_size = 64
    config.model.condition = ("text",)
    config.model.transformer = {"name": "transformer", "layers": 4, "width": 192, "heads": 6, "dropout": 0.2}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.optimizer.average = 20_000
    config.train.steps = 4000
    config.train.log_every = 50
    config.train.sample_every = 1000
    config.train.checkpoint_every = 500
    return config
