"""Steps and samples of a transformer over 64 tokens, in gen_jax. Namesakes: `tokens_torch.py`."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from common_jax import built, parameters, training
from workers import Setting, Work

from gen_jax import decoding
from gen_jax.config import base
from gen_jax.method import variables_of
from gen_jax.networks.transformer import Transformer
from gen_jax.sample import sampler

SHAPE = (8, 8, 1)
BATCH = 64


def gpt_config():
    """4 layers of 192 with 6 heads over 8x8 tokens of 256."""
    config = base("gpt")
    config.data.batch_size = BATCH
    config.model.transformer = {"name": "transformer", "layers": 4, "width": 192, "heads": 6}
    return config


def gpt(setting: Setting) -> Work:
    """Forward, backward, clipping and AdamW."""
    return training(setting, gpt_config(), SHAPE)


def gpt_sampling(setting: Setting, cached: bool = True) -> Work:
    """64 images, token after token: as `gen-jax sample` does, or each by all places at once."""
    program = built(setting, gpt_config(), SHAPE)
    state = program.init()
    method, variables = program.method, variables_of(program.method, state)
    counts = parameters(variables.params)
    if cached:
        draw, starts = sampler(method, program.mesh).sample, itertools.count(0, BATCH)

        def run():
            first = next(starts)
            draw(variables, range(first, first + BATCH))

        return Work(run, units=1, parameters=counts)

    network = Transformer(256, SHAPE[:2], layers=4, width=192, heads=6)

    @jax.jit
    def whole(params, keys):
        def one(place, tokens):
            logits, _ = network.apply({"params": params}, tokens)
            now = jax.vmap(lambda key: jax.random.fold_in(key, place))(keys)
            drawn = decoding.draw(now, jax.lax.dynamic_index_in_dim(logits, place, 1, keepdims=False), 1.0)
            return tokens.at[:, place].set(drawn)

        return jax.lax.fori_loop(0, 64, one, jnp.zeros((BATCH, 64), jnp.int32))

    keys = jax.random.split(jax.random.key(0), BATCH)
    return Work(lambda: np.asarray(whole(variables.params["transformer"], keys)), units=1, parameters=counts)
