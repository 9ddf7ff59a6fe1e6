"""A transformer that draws scenes of shapes from their captions, over the codes of a tokenizer's run.

    gen-jax train --config=fsq_shapes --workdir=TOKENIZER
    gen-jax train --config=gpt_shapes --config.source.run=TOKENIZER
    gen-jax sample RUN --condition.text="a small red circle above a large blue square"

Measured on one core of an AMD EPYC (Zen 5), JAX 0.10.2: 46 min of processor time, 55 by the clock beside other work,
and 5 min for the tokenizer. Of 100 captions of test scenes each, the share of pictures in which every attribute is
right (`experiments/shapes_score.py`), and the loss of 200 test scenes each:

    objects   as drawn   guidance 2   best of 8   nats   of colours and shapes that never met in training
    one       0.97       1.00         1.00        1.66   0.01, guidance 2 0.02, best of 8 0.08, 80.9 nats
    two       0.72       0.80         0.80        22.1   0.05, guidance 2 0.18, best of 8 0.09, 65.6 nats
    three     0.34       0.57         0.55        36.1   0.02, guidance 2 0.10, best of 8 0.08, 69.0 nats

Standard errors are at most 0.07. "Best of 8" is by a matcher (`--config=matcher_shapes --config.data.grid=4
--config.data.scenes=400000 --config.train.steps=3000`, 4.5 min). Both at once:
1.00, 0.88 and 0.50; 0.17, 0.38 and 0.22. Wrong are mostly objects in front of others. Asked for a green triangle, which
it never saw, it draws a blue one: docs/results.md says more of that.
"""

from gen_jax.config import base


def get_config():
    config = base("gpt")
    config.data.name = "shapes"
    config.data.batch_size = 32
    config.data.scenes = 400_000  # none is seen twice: 20,000 are learned by heart
    config.data.resident_megabytes = 256  # each is drawn when it is needed
    config.data.grid = 4
    config.model.condition = ("text",)
    config.model.transformer = {"name": "transformer", "layers": 4, "width": 192, "heads": 4, "positions": "rotary"}
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = {"kind": "cosine", "start": 3e-3, "end": 0.0}
    config.optimizer.b1 = 0.95
    config.optimizer.weight_decay = 0.1
    config.optimizer.average = 20_000
    config.train.steps = 8000
    config.train.log_every = 50
    config.train.sample_every = 1000
    config.train.checkpoint_every = 500
    return config
