"""Generative adversarial networks: a game of a generator G and a discriminator (critic) D.

    min_G max_D  E log D(x) + E log(1 - D(G(z)))      (Goodfellow et al. 2014, eq. 1)

`objective.loss` names the game (`gen_jax.losses.adversarial`); penalties on the critic's gradient are
added to the critic's loss. One step is `train.critic_steps` critic updates, each on a batch of its own,
then one generator update on one more (the relativistic game compares with fresh reals).
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax import randomness
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.losses import adversarial, penalties
from gen_jax.method import Mean, Method, born, mean, of_inference
from gen_jax.methods import sections
from gen_jax.networks import DISCRIMINATORS, GENERATORS
from gen_jax.optimizers import descend, update_average

NETWORKS = {"generator": GENERATORS, "discriminator": DISCRIMINATORS}
MODEL = {"latent_size": 64, "conditional": False}
OBJECTIVE = {
    "loss": "non_saturating",
    "r1_weight": 0.0,
    "r2_weight": 0.0,
    "gradient_penalty_weight": 0.0,
    "penalty_every": 1,
}
OPTIMIZER = {"b1": 0.0, "b2": 0.99, "discriminator_ratio": 1.0}
TRAIN = {"critic_steps": 1}

INFERENCE = ("generator",)  # what sampling needs: no critic
PENALTIES = ("r1_weight", "r2_weight", "gradient_penalty_weight")


def make(config, spec: Spec) -> Method:
    """The GAN of a config; refuses what does not go together."""
    objective = config.objective
    used = tuple(name for name in PENALTIES if objective[name] != 0)
    if used and config.model.discriminator.get("norm") == "batch":
        raise InputError(
            f"objective.{used[0]} with model.discriminator.norm=batch: the penalty is on each image's own gradient,"
            " which batch norm mixes over the batch; set model.discriminator.norm to none or spectral"
        )
    if objective.loss == "wasserstein" and not used and config.model.discriminator.get("norm") != "spectral":
        raise InputError(
            "objective.loss=wasserstein: the critic must be held Lipschitz; set objective.gradient_penalty_weight=10"
            " or model.discriminator.norm=spectral"
        )
    if objective.penalty_every > 1 and not used:
        raise InputError(f"objective.penalty_every={objective.penalty_every}: no penalty has a weight")
    network = partial(sections.network, config=config, spec=spec, shape=spec.shape)
    schedule = partial(sections.schedule, config, spec=spec)
    return gan(
        generator=network(GENERATORS, section="generator"),
        discriminator=network(DISCRIMINATORS, section="discriminator"),
        latent_size=config.model.latent_size,
        game=adversarial.OBJECTIVES[objective.loss],
        penalty_names=used,
        penalty_every=objective.penalty_every,
        critic_steps=config.train.critic_steps,
        optimizer=sections.optimizer(config),
        discriminator_ratio=config.optimizer.discriminator_ratio,
        keep_average=config.optimizer.average != 0,
        classes=sections.classes(config, spec),
        schedules={
            "learning_rate": schedule(config.optimizer.learning_rate),
            "b2": schedule(config.optimizer.b2),
            "average": schedule(config.optimizer.average),
            **{name: schedule(objective[name]) for name in used},
        },
    )


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    latent_size: int,
    game: Callable,
    penalty_names: tuple[str, ...],
    penalty_every: int,
    critic_steps: int,
    optimizer: Callable,
    discriminator_ratio: float,
    keep_average: bool,
    classes: int,
    schedules: dict,
) -> Method:
    """The GAN of these networks; see the module's docstring for the game."""

    def generate(params, collections, latents, condition, train):
        """Images in [-1, 1] and, in training, the generator's new collections."""
        variables = {"params": params, **collections}
        if not train:
            return generator.apply(variables, latents, condition, train=False), collections
        return generator.apply(variables, latents, condition, train=True, mutable=list(collections))

    def criticise(params, collections, images, condition):
        """Logits [B] and the critic's new collections."""
        variables = {"params": params, **collections}
        return discriminator.apply(variables, images, condition, train=True, mutable=list(collections))

    def init(key, example, resources):
        key_generator, key_discriminator = jax.random.split(key)
        images = _to_signed(example["image"])
        condition = example.get("condition")
        latents = jnp.zeros((images.shape[0], latent_size))
        made = {
            "generator": generator.init(key_generator, latents, condition, train=True),
            "discriminator": discriminator.init(key_discriminator, images, condition, train=True),
        }
        params = {name: variables["params"] for name, variables in made.items()}
        collections = {
            name: {kind: value for kind, value in variables.items() if kind != "params"}
            for name, variables in made.items()
        }
        rule = optimizer(learning_rate=0.0, b2=0.999)
        average = of_inference(INFERENCE, params, collections) if keep_average else None
        return born(params, {name: rule.init(params[name]) for name in params}, collections, average)

    def noise_and_condition(key, batch):
        """Latents and, for a conditional model, the classes to draw: a row's own label."""
        keys = randomness.row_keys(key, batch["row"])
        return randomness.normal(keys, (latent_size,)), batch.get("condition") if classes else None

    def update_critic(state, batch, key, hyper, penalise):
        reals = _to_signed(batch["image"])
        latents, condition = noise_and_condition(key, batch)
        fakes, _ = generate(state.params["generator"], state.collections["generator"], latents, condition, train=True)
        fakes = jax.lax.stop_gradient(fakes)

        def loss(params):
            real_logits, collections = criticise(params, state.collections["discriminator"], reals, condition)
            fake_logits, collections = criticise(params, collections, fakes, condition)
            losses = game(real_logits, fake_logits)
            parts = {"d": losses.discriminator}

            def critic(images):
                return criticise(params, collections, images, condition)[0]

            value = losses.discriminator.mean()
            if penalise:
                values = _penalties(critic, reals, fakes, jax.random.fold_in(key, 1))
                for name in penalty_names:
                    parts[name.removesuffix("_weight")] = values[name]()
                    weight = hyper[name] * penalty_every * (1.0 if "gradient" in name else 0.5)
                    value += weight * parts[name.removesuffix("_weight")].mean()
            parts |= {
                "real_logit": real_logits,
                "fake_logit": fake_logits,
                "real_sign": jnp.sign(real_logits),
            }
            return value, (parts, collections)

        learning_rate = hyper["learning_rate"] * discriminator_ratio
        return moved(state, "discriminator", loss, learning_rate, hyper["b2"])

    def update_generator(state, batch, key, hyper):
        latents, condition = noise_and_condition(key, batch)
        reals = _to_signed(batch["image"])

        def loss(params):
            fakes, collections = generate(params, state.collections["generator"], latents, condition, train=True)
            critic = partial(
                criticise,
                state.params["discriminator"],
                state.collections["discriminator"],
                condition=condition,
            )
            # Only the relativistic game looks at the reals; elsewhere the compiler drops them.
            losses = game(critic(reals)[0], critic(fakes)[0])
            return losses.generator, ({"g": losses.generator}, collections)

        return moved(state, "generator", loss, hyper["learning_rate"], hyper["b2"])

    def moved(state, name, loss, learning_rate, b2):
        """The state after one update of the player `name`, and the parts of its loss."""
        rule = optimizer(learning_rate=learning_rate, b2=b2)
        params, opt_state, (parts, collections) = descend(loss, state.params[name], state.opt_state[name], rule)
        return dataclasses.replace(
            state,
            params={**state.params, name: params},
            collections={**state.collections, name: collections},
            opt_state={**state.opt_state, name: opt_state},
        ), parts

    def step(state, batches, key, hyper, variant):
        keys = jax.random.split(key, critic_steps + 1)
        for i in range(critic_steps):  # unrolled: on CPU a convolution in a compiled loop is 19 times slower
            state, critic_parts = update_critic(state, batches[i], keys[i], hyper, penalise=variant)
        state, generator_parts = update_generator(state, batches[-1], keys[-1], hyper)
        now = of_inference(INFERENCE, state.params, state.collections)
        average = update_average(state.average, now, hyper["average"], len(batches[0]["image"]))
        metrics = {name: mean(value) for name, value in (critic_parts | generator_parts).items()}
        for name in penalty_names:  # the same names at every step, counted 0 where not computed
            metrics.setdefault(name.removesuffix("_weight"), Mean(jnp.float32(0), jnp.float32(0)))
        return dataclasses.replace(state, step=state.step + 1, average=average), metrics

    def latents(variables, keys):
        return randomness.normal(keys, (latent_size,))

    def decode(variables, latents, condition=None):
        images, _ = generate(
            variables.params["generator"], variables.collections["generator"], latents, condition, train=False
        )
        return jnp.clip((images + 1.0) / 2.0, 0.0, 1.0)

    def sample(variables, keys, condition=None, temperature=1.0):
        if classes and condition is None:
            condition = {"label": randomness.classes(keys, classes)}
        return decode(variables, temperature * latents(variables, keys), condition)

    return Method(
        init=init,
        inference=INFERENCE,
        step=step,
        draws=critic_steps + 1,
        schedules=schedules,
        variant=lambda step: bool(penalty_names) and step % penalty_every == 0,
        sample=sample,
        latents=latents,
        decode=decode,
    )


def _penalties(critic, reals, fakes, key):
    return {
        "r1_weight": lambda: penalties.r1(critic, reals),
        "r2_weight": lambda: penalties.r2(critic, fakes),
        "gradient_penalty_weight": lambda: penalties.gradient_penalty(critic, reals, fakes, key),
    }


def _to_signed(images):
    return images.astype(jnp.float32) / 127.5 - 1.0
