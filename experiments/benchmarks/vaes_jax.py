"""Steps and samples of VAEs, and the step of a classifier, in gen_jax. Namesakes: `vaes_torch.py`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from common_jax import built, parameters, training
from gans_jax import sampling
from workers import Setting, Work

from gen_jax import optimizers, randomness
from gen_jax.config import base, load
from gen_jax.data.dataset import floats
from gen_jax.losses import bounds
from gen_jax.method import Variables

SHAPE = (28, 28, 1)


def mlp(setting: Setting, batch: int, steps_per_call: int = 1) -> Work:
    """Recipe A of the IWAE paper with one latent sample and the analytic KL."""
    config = mlp_config(batch)
    config.train.steps_per_call = steps_per_call
    return training(setting, config, SHAPE)


def conv(setting: Setting) -> Work:
    """The convolutional encoder and decoder at their default widths."""
    config = base("vae")
    config.data.batch_size, config.data.binarize = 64, "threshold"
    config.model.latent_size = 16
    config.model.encoder = {"name": "conv"}
    config.model.decoder = {"name": "conv"}
    return training(setting, config, SHAPE)


def iwae(setting: Setting, batch: int, k: int) -> Work:
    """The bound of k samples (Burda et al. 2016, eq. 8).

    gen_jax has no such method: the step is built here, of the VAE's networks and `log_weights`,
    `losses.bounds.importance_weighted` and `optimizers.descend`.
    """
    program = built(setting, mlp_config(batch), SHAPE)
    rule = optimizers.make("adam")({"learning_rate": 1e-3, "b1": 0.99, "b2": 0.999, "eps": 1e-4})

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(params, opt_state, resident, index, step):
        base = jax.random.fold_in(randomness.stream(0, randomness.TRAIN), step)
        batch = program.dataset.transform({"image": resident["image"][index], "row": jnp.arange(len(index))}, base, 0)
        keys = jax.vmap(lambda key: jax.random.split(key, k))(randomness.row_keys(base, batch["row"]))

        def loss(params, rows):
            weights = program.method.log_weights(Variables(params, {}), *rows, {})
            return -bounds.importance_weighted(weights.T), None

        return optimizers.descend(loss, params, opt_state, rule, (floats(batch)["image"], keys))[:2]

    params = program.init().params
    held = {"state": (params, rule.init(params)), "step": 0}
    counts = parameters(params)
    rows = np.arange(batch)

    def run():
        index = program.dataset.indices(held["step"], rows)
        held["state"] = update(*held["state"], program.resident, index, np.uint32(held["step"]))
        held["step"] += 1

    return Work(run, lambda: jax.block_until_ready(held["state"]), parameters=counts)


def mlp_sampling(setting: Setting) -> Work:
    """What `gen-jax sample` does: uint8 images by seed."""
    return sampling(built(setting, mlp_config(20), SHAPE), "decoder")


def classifier(setting: Setting) -> Work:
    """The network of `configs/classifier.py` on colour images."""
    return training(setting, load("classifier"), (32, 32, 3))


def mlp_config(batch: int):
    config = base("vae")
    config.data.batch_size, config.data.binarize = batch, "threshold"
    config.model.latent_size = 50
    config.model.encoder = {"name": "mlp", "widths": (200, 200)}
    config.model.decoder = {"name": "mlp", "widths": (200, 200)}
    config.optimizer.b1, config.optimizer.eps = 0.99, 1e-4
    return config
