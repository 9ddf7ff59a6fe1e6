"""A decoder-only transformer over the tokens of an image (Chen et al. 2020; Ramesh et al. 2021).

    log p(x | c) = sum_t log p(x_t | x_<t, c),   x the image's tokens in raster order, c what it is asked for by

The tokens are grey levels or binary pixels, and then log p is exact, or the codes of another run (`source.run`). With
`objective.text_weight` the caption is predicted too, in one stream with the image: log p(x | c) + weight * log p(c).

In training the condition is withheld now and then, so that one network knows p(x | c) and p(x); a guided sample is
drawn from logits free + guidance * (asked - free) (Ho & Salimans 2022).
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

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
    "objective.text_weight": Field(0.0, "weight of log p(caption) beside the image's", schedule=True, least=0),
    "sample.guidance": Field(1.0, "of samples: above 1 the condition counts for more", least=0),
    "sample.top_k": Field(0, "of samples: tokens that may be drawn at each place; 0: all", least=0),
    "sample.top_p": Field(1.0, "of samples: probability of those that may be drawn; 1: all", least=0, most=1),
}
DEFAULTS = {"optimizer.name": "adamw", "optimizer.b2": 0.95, "optimizer.clip": 1.0, "optimizer.weight_decay": 0.01}


def make(config, spec: Spec, sources) -> Method:
    """The GPT of a config; refuses what does not go together."""
    conditions = sections.conditions(config, spec)
    tokens = codec.make(config, spec, sources.get("source"))
    said = [name for name, about in conditions if about.kind == "tokens"] if config.objective.text_weight else [""]
    if not said:
        raise InputError("objective.text_weight: there is no caption to predict; add text to model.condition")
    network = partial(sections.network, TRANSFORMERS, config, "transformer", conditions=conditions)
    return gpt(
        transformer=network(tokens=tokens.size, grid=tokens.grid, said=said[0]),
        codec=tokens,
        said=said[0],
        dropped=config.objective.condition_dropout if conditions else 0.0,
        options=dict(config.sample),
        rule=sections.rule(config),
        parts=config.train.accumulate,
        keep_average=config.optimizer.average != 0,
        conditions=dict(conditions),
        schedules=sections.hyper(config, spec, text_weight=config.objective.text_weight),
    )


def gpt(
    transformer: nn.Module,
    codec: Codec,
    said: str,
    dropped: float,
    options: dict,
    rule: Rule,
    parts: int,
    keep_average: bool,
    conditions: dict,
    schedules: dict,
) -> Method:
    """The GPT of this transformer over the tokens of this codec; see the module's docstring."""
    places = codec.grid[0] * codec.grid[1]

    def init(key, example, resources):
        tokens = jnp.zeros((len(example["image"]), places), jnp.int32)
        params = {"transformer": transformer.init(key, tokens, chosen(conditions, example))["params"]}
        frozen = {"frozen": dict(resources.sources)} if resources.sources else {}
        average = Variables(params, {}) if keep_average else None
        return born(params, optimizers.start(rule, params), frozen, average)

    def of(variables, *rest, method=None):
        return transformer.apply({"params": variables.params["transformer"]}, *rest, method=method)

    def step(state, batches, key, hyper, variant):
        (batch,) = batches
        condition = chosen(conditions, batch)
        tokens = codec.encode(Variables(state.params, state.collections), batch["image"], condition)
        rows = tokens, condition, randomness.row_keys(key, batch["row"])

        def loss(params, rows):
            tokens, condition, keys = rows
            without = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, 0), dropped))(keys)
            inside = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
            logits, words = of(Variables(params, {}), tokens, condition, without, inside)
            found = {"log_likelihood": decoding.log_likelihood(logits, tokens).sum(1)}
            found["loss"] = -found["log_likelihood"]
            if said:
                told = decoding.log_likelihood(words, condition[said][:, 1:]).sum(1)
                found["text_log_likelihood"] = jnp.where(without, 0.0, told)
                found["loss"] -= hyper["text_weight"] * found["text_log_likelihood"]
            return found["loss"], means(found)

        params, opt_state, metrics = descend(loss, state.params, state.opt_state, rule(hyper), rows, parts)
        average = update_average(state.average, Variables(params, {}), hyper["average"], len(batch["row"]))
        return State(state.step + 1, params, state.collections, opt_state, average), metrics

    def log_prob(variables, images, condition):
        tokens = codec.encode(variables, images, condition)
        logits, _ = of(variables, tokens, condition)
        return decoding.log_likelihood(logits, tokens).sum(1) + codec.log_rest(images, tokens)

    def drawn(variables, keys, condition, temperature, given, known, guidance, top_k, top_p):
        """Tokens [B, T], those of `given` where `known`."""
        if top_k > codec.size:
            raise InputError(f"top_k={top_k}: there are {codec.size} tokens; give at most that, or 0 for all")
        count, both = len(keys), guidance not in (0, 1) and bool(conditions)
        twice = lambda x: jnp.concatenate([x, x]) if both else x
        without = jnp.arange(2 * count) >= count if both else jnp.full(count, guidance == 0)
        logits, cache = of(variables, jax.tree.map(twice, condition), without, method="begin")
        keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys)  # the key itself decides the label

        def choose(logits, place):
            logits = decoding.guided(logits[:count], logits[count:], guidance) if both else logits
            now = jax.vmap(lambda key: jax.random.fold_in(key, place))(keys)
            found = decoding.draw(now, logits, temperature, top_k, top_p)
            return jnp.where(known[:, place], given[:, place], found)

        def one(carry, place):
            logits, cache = carry
            token = choose(logits, place)
            return of(variables, twice(token), place + 1, cache, method="follow"), token

        (logits, _), tokens = jax.lax.scan(one, (logits, cache), jnp.arange(places - 1))
        return jnp.concatenate([tokens.T, choose(logits, places - 1)[:, None]], 1)

    def sample(variables, keys, condition, temperature, **how):
        nothing = jnp.zeros((len(keys), places), jnp.int32)
        tokens = drawn(variables, keys, condition, temperature, nothing, nothing > 0, **(options | how))
        return codec.decode(variables, tokens, condition)

    def complete(variables, images, mask, keys, condition):
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
        raster=codec.grid,
        log_prob=log_prob if codec.log_rest else None,
        binary=codec.binary,
    )
