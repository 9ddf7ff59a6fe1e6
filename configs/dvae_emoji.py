"""DALL-E's dVAE on emoji: 32x32 colour images as 8x8 codes of 512, relaxed while training.

    gen-jax train --config=dvae_emoji
    gen-jax evaluate RUN

`noto_emoji` is a set prepared in TFDS's layout (docs/data.md). Nothing is mirrored: arrows and letters have a side.

Measured on 2 cores of an AMD EPYC that other work shared, JAX 0.10.2: 5.9 min of processor time for 2,000 updates, 15
min by the clock. Reconstructions of the 358 emoji that are held out have 21.2 dB and SSIM 0.720; they use 99.8 % of the
512 codes, with a perplexity of 406. VQ and FSQ do better in less time: see `fsq_emoji`.
"""

from gen_jax.config import base


def get_config():
    config = base("tokenizer")
    config.data.name = "noto_emoji"
    config.data.batch_size = 64
    config.model.quantizer = "gumbel"
    config.model.codes = 512
    config.model.levels = (8, 8, 8)
    config.model.encoder = {"name": "residual", "width": 64}
    config.model.decoder = {"name": "residual", "width": 64}
    config.objective.kl_weight = 0.1
    config.objective.temperature = {"kind": "cosine", "start": 1.0, "end": 1 / 16}
    config.optimizer.learning_rate = {"kind": "cosine", "start": 1e-3, "end": 0.0}
    config.train.steps = 2000
    config.train.log_every = 100
    config.train.checkpoint_every = 1000
    return config
