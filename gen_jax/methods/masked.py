"""A transformer that sees some tokens of an image and predicts the masked ones (Chang et al. 2022; Shi et al. 2024).

    -log p(x | c) <= E_k E_M  T / k  sum_(i in M) -log p(x_i | x outside M, c),   k ~ U{1..T},  M k of the T tokens

which is the mean over all orders of drawing one token after another (Uria et al. 2014; Hoogeboom et al. 2022, eq. 7),
and the bound of continuous-time masked diffusion with a linear schedule (Shi et al. 2024): there k is binomial at a
share t, the weight 1 / t, and the integral over t the same. Over pixels this is an honest bound in nats.

Samples are drawn from all masks in `sample.steps` steps (Chang et al. 2022): every masked token is drawn, and those of
which the model was least sure, with some noise, are masked again; a cosine says how many. That is fast, and no draw
from the distribution that the bound is of: with as many steps as tokens and much noise it comes near that.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from gen_jax import decoding, optimizers, randomness
from gen_jax.data.condition import chosen
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.method import Method, State, Variables, born, means
from gen_jax.methods import codec, sections
from gen_jax.methods.codec import Codec, kept
from gen_jax.networks import TRANSFORMERS
from gen_jax.optimizers import Rule, descend, update_average

NETWORKS = {"transformer": TRANSFORMERS}
FIELDS = {
    **optimizers.FIELDS,
    **optimizers.AVERAGE,
    **optimizers.ACCUMULATE,
    **sections.COMPUTE,
    **sections.CONDITION,
    **codec.FIELDS,
    "objective.condition_dropout": Field(0.1, "share of images that nothing asks for in training", least=0, most=1),
    "sample.steps": Field(12, "of samples: in how many steps all tokens are drawn", least=1, most=1000),
    "sample.noise": Field(4.5, "of samples: how far the order is drawn by lot, at first", least=0),
    "sample.guidance": Field(1.0, "of samples: above 1 the condition counts for more", least=0),
}
DEFAULTS = {"optimizer.name": "adamw", "optimizer.b2": 0.95, "optimizer.clip": 1.0, "optimizer.weight_decay": 0.01}


def make(config, spec: Spec, sources) -> Method:
    """The masked model of a config; refuses what does not go together."""
    conditions = sections.conditions(config, spec)
    tokens = codec.make(config, spec, sources.get("source"))
    network = partial(sections.network, TRANSFORMERS, config, "transformer", conditions=conditions)
    return masked(
        transformer=network(tokens=tokens.size, grid=tokens.grid, causal=False),
        codec=tokens,
        dropped=config.objective.condition_dropout if conditions else 0.0,
        options=dict(config.sample),
        rule=sections.rule(config),
        parts=config.train.accumulate,
        keep_average=config.optimizer.average != 0,
        conditions=dict(conditions),
        schedules=sections.hyper(config, spec),
    )


def masked(
    transformer: nn.Module,
    codec: Codec,
    dropped: float,
    options: dict,
    rule: Rule,
    parts: int,
    keep_average: bool,
    conditions: dict,
    schedules: dict,
) -> Method:
    """The masked model of this transformer over the tokens of this codec; see the module's docstring."""
    places, mask_token = codec.grid[0] * codec.grid[1], codec.size

    def init(key, example, resources):
        tokens = jnp.zeros((len(example["image"]), places), jnp.int32)
        params = {"transformer": transformer.init(key, tokens, chosen(conditions, example))["params"]}
        frozen = {"frozen": dict(resources.sources)} if resources.sources else {}
        average = Variables(params, {}) if keep_average else None
        return born(params, optimizers.start(rule, params), frozen, average)

    def predicted(params, tokens, hidden, condition, without=None, keys=None):
        """Logits [B, T, V] given the tokens that are not hidden."""
        seen = jnp.where(hidden, mask_token, tokens)
        return transformer.apply({"params": params["transformer"]}, seen, condition, without, keys)[0]

    def terms(params, tokens, hidden, condition, *rest):
        """T / k times the log-likelihood of the k hidden tokens [B] nats: of all masks the mean is the bound."""
        log_p = decoding.log_likelihood(predicted(params, tokens, hidden, condition, *rest), tokens)
        return (log_p * hidden).sum(1) * places / hidden.sum(1)

    def step(state, batches, key, hyper, variant):
        (batch,) = batches
        condition, count = chosen(conditions, batch), len(batch["row"])
        tokens = codec.encode(Variables(state.params, state.collections), batch["image"], condition)
        keys = randomness.row_keys(key, batch["row"])
        # Spread evenly over a batch (Kingma et al. 2021): each k is as likely as any, and the loss less noisy.
        share = (jax.random.uniform(key) + batch["row"] / count) % 1.0
        hidden = some_hidden(keys, jnp.int32(share * places) + 1, places)
        rows = tokens, hidden, condition, keys

        def loss(params, rows):
            tokens, hidden, condition, keys = rows
            without = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, 1), dropped))(keys)
            inside = jax.vmap(lambda key: jax.random.fold_in(key, 2))(keys)
            bound = terms(params, tokens, hidden, condition, without, inside)
            return -bound, means({"loss": -bound, "elbo": bound})

        params, opt_state, metrics = descend(loss, state.params, state.opt_state, rule(hyper), rows, parts)
        average = update_average(state.average, Variables(params, {}), hyper["average"], count)
        return State(state.step + 1, params, state.collections, opt_state, average), metrics

    def bound(variables, images, keys, condition):
        tokens = codec.encode(variables, images, condition)
        count = jax.vmap(lambda key: jax.random.randint(jax.random.fold_in(key, 1), (), 1, places + 1))(keys)
        found = terms(variables.params, tokens, some_hidden(keys, count, places), condition)
        return {"elbo": found + codec.log_rest(images, tokens)}

    def drawn(variables, keys, condition, temperature, given, known, steps, noise, guidance):
        """Tokens [B, T], those of `given` where `known`."""
        both = guidance not in (0, 1) and bool(conditions)
        keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys)  # the key itself decides the label
        free = (~known).sum(1)

        def logits_of(tokens, hidden):
            of = lambda value: predicted(variables.params, tokens, hidden, condition, jnp.full(len(keys), value))
            return decoding.guided(of(False), of(True), guidance) if both else of(guidance == 0)

        def one(n, carry):
            tokens, hidden = carry
            now = jax.vmap(lambda key: jax.random.fold_in(key, n))(keys)
            each = jax.vmap(lambda key: jax.random.split(key, places + 1))(now)  # [B, T + 1]
            logits = logits_of(tokens, hidden)
            draw = jax.vmap(lambda keys, logits: decoding.draw(keys, logits, temperature))
            tokens = jnp.where(hidden, draw(each[:, 1:], logits), tokens)
            lot = jax.vmap(lambda key: jax.random.gumbel(key, (places,)))(each[:, 0])
            left = 1 - (n + 1) / steps
            sure = decoding.log_likelihood(logits, tokens) + noise * left * lot
            again = still_hidden(free, hidden.sum(1), left)
            return tokens, least(jnp.where(hidden, sure, jnp.inf), again)

        return jax.lax.fori_loop(0, steps, one, (given, ~known))[0]

    def sample(variables, keys, condition, temperature, **how):
        nothing = jnp.zeros((len(keys), places), jnp.int32)
        tokens = drawn(variables, keys, condition, temperature, nothing, nothing > 0, **checked(options | how))
        return codec.decode(variables, tokens, condition)

    def complete(variables, images, mask, keys, condition):
        """A token is kept where all its pixels are."""
        given = codec.encode(variables, jnp.where(mask > 0, images, 0.5), condition)
        tokens = drawn(variables, keys, condition, 1.0, given, kept(mask, codec.grid), **options)
        return jnp.where(mask > 0, images, codec.decode(variables, tokens, condition))

    def attention(variables, images, condition):
        tokens = codec.encode(variables, images, condition)
        weights = transformer.module.seen({"params": variables.params["transformer"]}, tokens, condition)
        return weights[..., -places:, -places:].reshape(*weights.shape[:3], places, *codec.grid)

    return Method(
        init=init,
        step=step,
        conditions=conditions,
        schedules=schedules,
        sample=sample,
        options=options,
        complete=complete,
        attention=attention,
        bound=bound if codec.log_rest else None,
        binary=codec.binary,
    )


def checked(options: dict) -> dict:
    """Refuses no steps at all."""
    if options["steps"] < 1:
        raise InputError(f"steps={options['steps']}: must be >= 1")
    return options


def some_hidden(keys: Array, count: Int[Array, " B"], places: int) -> Bool[Array, "B T"]:
    """`count` of the places of each row, all sets of them equally likely, row i by keys[i]."""
    lots = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 0), (places,)))(keys)
    return least(lots, count)


def least(values, count) -> Bool[Array, "B T"]:
    """Where the `count` [B] least of the values [B, T] of each row stand."""
    return values.argsort(-1).argsort(-1) < count[:, None]


def still_hidden(free, hidden, left) -> Int[Array, " B"]:
    """How many of the `free` tokens of each row stay hidden while a share `left` of the steps is to come.

    cos(pi / 2 (1 - left)) of them (Chang et al. 2022, section 3.2), at least one and fewer than were hidden; none at
    the end.
    """
    share = jnp.cos(jnp.pi / 2 * (1 - left))
    return jnp.where(left > 0, jnp.clip(jnp.int32(free * share), jnp.minimum(1, hidden - 1), hidden - 1), 0)
