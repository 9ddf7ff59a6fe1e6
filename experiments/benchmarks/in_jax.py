"""The train steps that `train_step.py` times, in JAX: the networks of gen_jax, optax, one jit."""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from gen_jax.networks import dcgan, mlp

EXAMPLES = 1024


def build(model: str, batch: int, dtype: str, device: str):
    """(step(), wait(), parameter counts, smallest first) on the given device."""
    # Where data and state are born decides where everything runs.
    with jax.default_device(jax.devices(device)[0]):
        init, step, data = {"dcgan": gan, "vae": vae}[model](batch, jnp.dtype(dtype))
        held = {"state": jax.jit(init)(), "count": 0}
        key = jax.random.key(1)
    networks = held["state"]["params"].values()
    counts = [sum(leaf.size for leaf in jax.tree.leaves(params)) for params in networks]

    @partial(jax.jit, donate_argnums=0)
    def compiled(state, data, key, count):
        return step(state, data, jax.random.fold_in(key, count))

    def advance():
        held["state"], held["loss"] = compiled(held["state"], data, key, held["count"])
        held["count"] += 1

    def wait():
        jax.block_until_ready(held["state"])

    return advance, wait, sorted(counts)


def gan(batch, dtype):
    """DCGAN: a critic step and a generator step, each on noise of its own."""
    shape, latent_size = (32, 32, 3), 128
    networks = {
        "generator": dcgan.Generator(shape, dtype=dtype),
        "critic": dcgan.Discriminator(shape, dtype=dtype),
    }
    adam = optax.adam(2e-4, b1=0.5)

    def init():
        key = jax.random.key(0)
        born = {
            "generator": networks["generator"].init(key, jnp.zeros((1, latent_size))),
            "critic": networks["critic"].init(key, jnp.zeros((1, *shape))),
        }
        params = {name: variables["params"] for name, variables in born.items()}
        return {
            "params": params,
            "statistics": {name: variables["batch_stats"] for name, variables in born.items()},
            "moments": {name: adam.init(params[name]) for name in born},
        }

    def apply(name, params, statistics, x):
        variables = {"params": params, "batch_stats": statistics}
        out, changed = networks[name].apply(variables, x, train=True, mutable=["batch_stats"])
        return out, changed["batch_stats"]

    def update(state, name, loss):
        (value, statistics), grads = jax.value_and_grad(loss, has_aux=True)(state["params"][name])
        updates, moments = adam.update(grads, state["moments"][name])
        params = optax.apply_updates(state["params"][name], updates)
        changed = {"params": params, "statistics": statistics, "moments": moments}
        return {part: {**state[part], name: changed[part]} for part in state}, value

    def step(state, data, key):
        choice, *keys = jax.random.split(key, 3)
        index = jax.random.randint(choice, (batch,), 0, EXAMPLES)
        reals = data[index].astype(jnp.float32) / 127.5 - 1
        noises = [jax.random.normal(key, (batch, latent_size)) for key in keys]
        fakes, _ = apply(
            "generator", state["params"]["generator"], state["statistics"]["generator"], noises[0]
        )

        def critic_loss(params):
            real_logits, statistics = apply("critic", params, state["statistics"]["critic"], reals)
            fake_logits, statistics = apply("critic", params, statistics, fakes)
            return jax.nn.softplus(-real_logits).mean() + jax.nn.softplus(fake_logits).mean(), statistics

        state, first = update(state, "critic", critic_loss)

        def generator_loss(params):
            fakes, statistics = apply("generator", params, state["statistics"]["generator"], noises[1])
            logits, _ = apply("critic", state["params"]["critic"], state["statistics"]["critic"], fakes)
            return jax.nn.softplus(-logits).mean(), statistics

        state, second = update(state, "generator", generator_loss)
        return state, (first, second)

    return init, step, jax.random.randint(jax.random.key(2), (EXAMPLES, *shape), 0, 256, jnp.uint8)


def vae(batch, dtype):
    """Recipe A of the IWAE paper with one latent sample and the analytic KL."""
    shape, latent_size = (28, 28, 1), 50
    encoder, decoder = mlp.Encoder(latent_size, dtype=dtype), mlp.Decoder(shape, dtype=dtype)
    adam = optax.adam(1e-3, b1=0.99, eps=1e-4)

    def init():
        key = jax.random.key(0)
        params = {
            "encoder": encoder.init(key, jnp.zeros((1, *shape)))["params"],
            "decoder": decoder.init(key, jnp.zeros((1, latent_size)))["params"],
        }
        return {"params": params, "moments": adam.init(params)}

    def step(state, data, key):
        choice, noise = jax.random.split(key)
        images = data[jax.random.randint(choice, (batch,), 0, EXAMPLES)].astype(jnp.float32)

        def loss(params):
            mean, log_std = encoder.apply({"params": params["encoder"]}, images)
            z = mean + jnp.exp(log_std) * jax.random.normal(noise, mean.shape)
            logits = decoder.apply({"params": params["decoder"]}, z)[..., 0]
            kl = 0.5 * (mean**2 + jnp.exp(2 * log_std) - 1) - log_std
            return (jax.nn.softplus(logits) - images * logits).sum() / batch + kl.sum() / batch

        value, grads = jax.value_and_grad(loss)(state["params"])
        updates, moments = adam.update(grads, state["moments"])
        return {"params": optax.apply_updates(state["params"], updates), "moments": moments}, value

    return init, step, jax.random.bernoulli(jax.random.key(2), 0.2, (EXAMPLES, *shape)).astype(jnp.uint8)
