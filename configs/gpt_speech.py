"""A transformer that draws the digit that it hears, over the codes of a tokenizer of MNIST.

    gen-jax train --config=vqvae_mnist --workdir=TOKENIZER
    gen-jax train --config=gpt_speech --config.source.run=TOKENIZER
    gen-jax sample RUN --condition.audio=three.wav

Not run in full yet: nothing is known of its samples. Measured on 2 cores of an AMD EPYC (Zen 5), JAX 0.10.2: an update
of 64 images takes 0.47 s of processor time.
"""

from gen_jax.config import base


def get_config():
    config = base("gpt")
    config.data.name = "mnist"
    config.data.audio = "free_spoken_digit"
    config.data.batch_size = 64
    config.model.condition = ("audio",)
    config.model.transformer = {"name": "transformer", "layers": 4, "width": 128, "heads": 4, "dropout": 0.1}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.optimizer.average = 20_000
    config.train.steps = 3000
    config.train.log_every = 50
    config.train.sample_every = 1000
    config.train.checkpoint_every = 500
    return config
