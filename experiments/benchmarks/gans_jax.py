"""Steps and samples of GANs, in gen_jax. The other side of each function is its namesake in `gans_torch.py`."""

import itertools

from common_jax import built, parameters, training
from workers import Setting, Work

from gen_jax.config import base, load
from gen_jax.method import variables_of
from gen_jax.sample import sampler

BATCH = 64
SHAPE = (32, 32, 3)
SAMPLED = 1280  # images a call
SAMPLED_UNIT = 10_000


def dcgan(setting: Setting) -> Work:
    """A critic step and a generator step, each on noise of its own."""
    return training(setting, dcgan_config(), SHAPE)


def r1(setting: Setting) -> Work:
    """DCGAN's step without batch norm in the critic, and with R1 at every step."""
    config = dcgan_config()
    config.model.discriminator.norm = "none"
    config.objective.r1_weight = 1.0
    return training(setting, config, SHAPE)


def sngan(setting: Setting) -> Work:
    """The networks and the game of `configs/sngan_cifar10.py`, with one critic step."""
    config = load("sngan_cifar10").unlock()
    config.train.critic_steps = 1
    return training(setting, config, SHAPE)


def digits(setting: Setting) -> Work:
    """`configs/gan_digits.py` as shipped: four steps, since the penalties come at every fourth."""
    return training(setting, load("gan_digits"), calls=4)


def dcgan_sampling(setting: Setting) -> Work:
    """What `gen-jax sample` does: uint8 images by seed."""
    return sampling(built(setting, dcgan_config(), SHAPE), "generator")


def sampling(program, network: str) -> Work:
    """Images of one seed after another; `network` is the one that draws them."""
    state = program.init()
    draw, variables = sampler(program.method, program.mesh).sample, variables_of(program.method, state)
    starts = itertools.count(0, SAMPLED)

    def run():
        first = next(starts)
        draw(variables, range(first, first + SAMPLED))

    return Work(run, units=SAMPLED / SAMPLED_UNIT, parameters=parameters({network: variables.params[network]}))


def dcgan_config():
    config = base("gan")
    config.data.batch_size = BATCH
    config.model.latent_size = 128
    config.model.generator = {"name": "dcgan", "norm": "batch"}
    config.model.discriminator = {"name": "dcgan", "norm": "batch"}
    config.optimizer.b1, config.optimizer.b2 = 0.5, 0.999
    return config
