"""A transformer that draws emoji from their names, over the codes of a tokenizer's run.

    gen-jax train --config=fsq_emoji --config.data.split_by=name --workdir=TOKENIZER
    gen-jax train --config=gpt_emoji --config.source.run=TOKENIZER
    gen-jax sample RUN --condition.text="grinning cat" --guidance=3

Names are split, skin tones left aside: those of the test are in no training image (`experiments/emoji_score.py`).

Measured on one core of an AMD EPYC (Zen 5) with JAX 0.10.2: 30 min of processor time, and 3 for the tokenizer. Of 300
names each, `matcher_emoji` finds the right one among 100 in 0.44 of the pictures that are drawn from names of the
training set (of the real ones in 0.99), and in 0.07 for names that were never read (real 0.08: the scorer does not know
them either; chance is 0.01). Colours and outlines are those that were asked for, details are smeared; pictures of new
names are blobs in likely colours. Guidance 3 does not help: 0.39 of the known names.
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
    config.train.steps = 2800
    config.train.log_every = 50
    config.train.sample_every = 1000
    config.train.checkpoint_every = 500
    return config
