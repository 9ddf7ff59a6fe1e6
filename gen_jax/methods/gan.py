"""Generative adversarial networks: a game of a generator G and a discriminator (critic) D.

    min_G max_D  E log D(x) + E log(1 - D(G(z)))      (Goodfellow et al. 2014, eq. 1)

`objective.loss` names the game (`gen_jax.losses.adversarial`); a player's loss is the game's and the weighted
penalties that are its own. One step is `train.critic_steps` critic updates, each on a batch of its own, then one
generator update on one more (the relativistic game compares with fresh reals).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax import optimizers, randomness
from gen_jax.data.condition import chosen
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.losses import adversarial, penalties
from gen_jax.method import Mean, Method, State, born, means, of_inference
from gen_jax.methods import sections
from gen_jax.networks import DISCRIMINATORS, GENERATORS
from gen_jax.optimizers import Rule, descend, update_average

INFERENCE = ("generator",)  # what sampling needs: no critic


class Players(NamedTuple):
    """What a penalty sees of one update. The images are those before augmentation."""

    critic: Callable  # images [B, H, W, C] in [-1, 1] -> logits [B], through the augmentation
    reals: jax.Array
    fakes: jax.Array  # while the critic moves, without a gradient
    rows: jax.Array  # of the global batch, int32 [B]


class Penalty(NamedTuple):
    """A term of a player's loss beside the game."""

    value: Callable[[Players, jax.Array], jax.Array]  # (players, key) -> [B]
    factor: float = 1.0  # the paper's, beside the weight that a config gives
    player: str = "discriminator"


PENALTIES = {
    "r1": Penalty(lambda players, key: penalties.r1(players.critic, players.reals), factor=0.5),
    "r2": Penalty(lambda players, key: penalties.r2(players.critic, players.fakes), factor=0.5),
    "gradient_penalty": Penalty(
        lambda players, key: penalties.gradient_penalty(players.critic, players.reals, players.fakes, key, players.rows)
    ),
}

NETWORKS = {"generator": GENERATORS, "discriminator": DISCRIMINATORS}
FIELDS = {
    **optimizers.FIELDS,
    **optimizers.AVERAGE,
    **optimizers.ACCUMULATE,
    **sections.COMPUTE,
    **sections.CONDITION,
    "model.latent_size": Field(64, "entries of the latent vector", least=1),
    "objective.loss": Field("non_saturating", "adversarial objective", choices=adversarial.OBJECTIVES),
    "objective.r1_weight": Field(
        0.0, "gamma: gamma/2 times the squared gradient at reals is added", schedule=True, least=0
    ),
    "objective.r2_weight": Field(
        0.0, "gamma: gamma/2 times the squared gradient at fakes is added", schedule=True, least=0
    ),
    "objective.gradient_penalty_weight": Field(
        0.0, "lambda of WGAN-GP's penalty at interpolates", schedule=True, least=0
    ),
    "objective.penalty_every": Field(1, "penalties at every n-th step only, n times as heavy (lazy)", least=1),
    "optimizer.discriminator_ratio": Field(1.0, "the critic's learning rate over the generator's", least=0),
    "train.critic_steps": Field(1, "critic updates for each generator update", least=1),
}
DEFAULTS = {"optimizer.learning_rate": 2e-4, "optimizer.b1": 0.0, "optimizer.b2": 0.99}


def make(config, spec: Spec) -> Method:
    """The GAN of a config; refuses what does not go together."""
    objective = config.objective
    used = {name: penalty for name, penalty in PENALTIES.items() if objective[f"{name}_weight"] != 0}
    if used and config.model.discriminator.get("norm") == "batch":
        raise InputError(
            f"objective.{next(iter(used))}_weight with model.discriminator.norm=batch: the penalty is on each image's"
            " own gradient, which batch norm mixes over the batch; set model.discriminator.norm to none or spectral"
        )
    if objective.loss == "wasserstein" and not used and config.model.discriminator.get("norm") != "spectral":
        raise InputError(
            "objective.loss=wasserstein: the critic must be held Lipschitz; set objective.gradient_penalty_weight=10"
            " or model.discriminator.norm=spectral"
        )
    if objective.penalty_every > 1 and not used:
        raise InputError(f"objective.penalty_every={objective.penalty_every}: no penalty has a weight")
    conditions = sections.conditions(config, spec)
    network = partial(sections.network, config=config, shape=spec.shape, conditions=conditions)
    return gan(
        generator=network(GENERATORS, section="generator"),
        discriminator=network(DISCRIMINATORS, section="discriminator"),
        latent_size=config.model.latent_size,
        game=sections.function(adversarial.OBJECTIVES, config, "objective", "loss"),
        added=used,
        penalty_every=objective.penalty_every,
        critic_steps=config.train.critic_steps,
        rule=sections.rule(config),
        parts=config.train.accumulate,
        keep_average=config.optimizer.average != 0,
        conditions=dict(conditions),
        schedules=sections.hyper(
            config,
            spec,
            discriminator_ratio=config.optimizer.discriminator_ratio,
            **{f"{name}_weight": objective[f"{name}_weight"] for name in used},
        ),
    )


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    latent_size: int,
    game: Callable,
    added: Mapping[str, Penalty],
    penalty_every: int,
    critic_steps: int,
    rule: Rule,
    parts: int,
    keep_average: bool,
    conditions: dict,
    schedules: dict,
    augment: Callable = lambda images, keys: images,
) -> Method:
    """The GAN of these networks; see the module's docstring for the game.

    `augment` (images [B, H, W, C] in [-1, 1], keys [B]) -> images stands between images and critic, for reals and
    fakes alike; it must be differentiable.
    """

    def generate(params, collections, latents, condition, train, key=None, rows=None):
        """Images in [-1, 1] and, in training, the generator's new collections."""
        variables = {"params": params, **collections}
        if not train:
            return generator.apply(variables, latents, condition, train=False), collections
        options = {"mutable": list(collections), "rngs": streams(key, rows)}
        return generator.apply(variables, latents, condition, train=True, **options)

    def criticise(params, collections, images, condition, key, rows):
        """Logits [B] and the critic's new collections."""
        images = augment(images, randomness.row_keys(jax.random.fold_in(key, 2), rows))
        options = {"mutable": list(collections), "rngs": streams(key, rows)}
        return discriminator.apply({"params": params, **collections}, images, condition, train=True, **options)

    def streams(key, rows):
        """The random streams of a network: noise inputs, dropout. Each part of a batch has its own."""
        key = key if parts == 1 else jax.random.fold_in(key, rows[0])
        return {name: jax.random.fold_in(key, 3 + i) for i, name in enumerate(("noise", "dropout"))}

    def init(key, example, resources):
        key_generator, key_discriminator = jax.random.split(key)
        images = _to_signed(example["image"])
        condition = chosen(conditions, example)
        latents = jnp.zeros((images.shape[0], latent_size))
        made = {
            "generator": generator.init(key_generator, latents, condition, train=True),
            "discriminator": discriminator.init(key_discriminator, images, condition, train=True),
        }
        if parts > 1:
            check_parts(made)
        params = {name: variables["params"] for name, variables in made.items()}
        collections = {
            name: {kind: value for kind, value in variables.items() if kind != "params"}
            for name, variables in made.items()
        }
        average = of_inference(INFERENCE, params, collections) if keep_average else None
        return born(params, {name: optimizers.start(rule, params[name]) for name in params}, collections, average)

    def check_parts(made):
        """Refuses a game that is another one when its batch is taken in parts."""
        for name, variables in made.items():
            if "batch_stats" in variables:
                raise InputError(
                    f"train.accumulate={parts}: batch norm of model.{name} is about the whole batch;"
                    f" choose a network or a model.{name}.norm without, or set train.accumulate=1"
                )
        logits = jax.ShapeDtypeStruct((2,), jnp.float32)
        if any(loss.shape != (2,) for loss in jax.eval_shape(game, logits, logits)):
            raise InputError(
                f"train.accumulate={parts}: objective.loss is one number for the whole batch, not one for each"
                " example; set train.accumulate=1"
            )

    def drawn(key, batch):
        """Reals, latents, the conditions to draw for and the rows that these are of: a row's own."""
        keys = randomness.row_keys(key, batch["row"])
        latents = randomness.normal(keys, (latent_size,))
        return _to_signed(batch["image"]), latents, chosen(conditions, batch), batch["row"]

    def penalised(player, due, players, key, hyper):
        """The weighted penalties of a player that are due, and their values by name."""
        mine = {name: added[name] for name in due if added[name].player == player}
        values = {name: penalty.value(players, key) for name, penalty in mine.items()}
        weights = {name: hyper[f"{name}_weight"] * penalty_every * penalty.factor for name, penalty in mine.items()}
        return [weights[name] * values[name].mean() for name in mine], values

    def update_critic(state, batch, key, hyper, due):
        def loss(params, part):
            reals, latents, condition, rows = part
            fakes = jax.lax.stop_gradient(faked(state.params["generator"], part, key, state)[0])
            critic = partial(criticise, params, condition=condition, key=key, rows=rows)
            real_logits, collections = critic(state.collections["discriminator"], reals)
            fake_logits, collections = critic(collections, fakes)
            losses = game(real_logits, fake_logits)
            players = Players(lambda images: critic(collections, images)[0], reals, fakes, rows)
            terms, values = penalised("discriminator", due, players, jax.random.fold_in(key, 1), hyper)
            logits = {"real_logit": real_logits, "fake_logit": fake_logits, "real_sign": jnp.sign(real_logits)}
            found = {"d": losses.discriminator, **values, **logits}
            return sum(terms, losses.discriminator.mean()), (means(found), collections)

        rate = hyper["learning_rate"] * hyper["discriminator_ratio"]
        return moved(state, "discriminator", loss, {**hyper, "learning_rate": rate}, drawn(key, batch))

    def update_generator(state, batch, key, hyper, due):
        def loss(params, part):
            reals, _, condition, rows = part
            fakes, collections = faked(params, part, key, state)
            critic = lambda images: criticise(
                state.params["discriminator"],
                state.collections["discriminator"],
                images,
                condition,
                key,
                rows,
            )[0]
            # Only the relativistic game looks at the reals; elsewhere the compiler drops them.
            losses = game(critic(reals), critic(fakes))
            players = Players(critic, reals, fakes, rows)
            terms, values = penalised("generator", due, players, jax.random.fold_in(key, 1), hyper)
            return sum(terms, losses.generator.mean()), (means({"g": losses.generator, **values}), collections)

        return moved(state, "generator", loss, hyper, drawn(key, batch))

    def faked(params, part, key, state):
        """What the generator with these params makes of a part of a batch, and its new collections."""
        _, latents, condition, rows = part
        options = {"train": True, "key": key, "rows": rows}
        return generate(params, state.collections["generator"], latents, condition, **options)

    def moved(state, name, loss, hyper, batch):
        """The state after one update of the player `name`, and the metrics of its loss."""
        params, opt_state, (metrics, collections) = descend(
            loss, state.params[name], state.opt_state[name], rule(hyper), batch, parts
        )
        state = dataclasses.replace(
            state,
            params={**state.params, name: params},
            collections={**state.collections, name: collections},
            opt_state={**state.opt_state, name: opt_state},
        )
        return state, metrics

    def step(state: State, batches: Sequence, key, hyper, variant):
        keys = jax.random.split(key, critic_steps + 1)
        for i in range(critic_steps):  # unrolled: on CPU a convolution in a compiled loop is 19 times slower
            state, critic_metrics = update_critic(state, batches[i], keys[i], hyper, due=variant)
        state, generator_metrics = update_generator(state, batches[-1], keys[-1], hyper, due=variant)
        now = of_inference(INFERENCE, state.params, state.collections)
        average = update_average(state.average, now, hyper["average"], len(batches[0]["image"]))
        metrics = critic_metrics | generator_metrics
        for name in added:  # the same names at every step, counted 0 where not computed
            metrics.setdefault(name, Mean(jnp.float32(0), jnp.float32(0)))
        return dataclasses.replace(state, step=state.step + 1, average=average), metrics

    def latents(variables, keys):
        return randomness.normal(keys, (latent_size,))

    def decode(variables, latents, condition):
        images, _ = generate(
            variables.params["generator"], variables.collections["generator"], latents, condition, train=False
        )
        return jnp.clip((images + 1.0) / 2.0, 0.0, 1.0)

    def sample(variables, keys, condition, temperature):
        return decode(variables, temperature * latents(variables, keys), condition)

    return Method(
        init=init,
        step=step,
        conditions=conditions,
        inference=INFERENCE,
        draws=critic_steps + 1,
        schedules=schedules,
        variant=lambda step: tuple(added) if step % penalty_every == 0 else (),
        sample=sample,
        latents=latents,
        decode=decode,
    )


def _to_signed(images):
    return 2.0 * images - 1.0
