"""A scorer of images beside what they are asked for by: no `sample`, but `match` (CLIP, Radford et al. 2021).

    match(x, c) = <f(x) / |f(x)|, g(c) / |g(c)|>

f sees the image, g reads the condition; both learn from which of the images of a batch belongs to which condition
(`losses.contrastive`), the similarity multiplied by a learned scale. Samples are reranked by it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import optimizers
from gen_jax.data.condition import chosen
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.losses.contrastive import contrastive
from gen_jax.method import Method, State, Variables, born, mean
from gen_jax.methods import sections
from gen_jax.networks import ENCODERS, READERS
from gen_jax.optimizers import Rule, descend, update_average

NETWORKS = {"encoder": ENCODERS, "reader": READERS}
# No train.accumulate: every row is compared with all others, so parts of a batch have another loss than the whole.
FIELDS = {
    **optimizers.FIELDS,
    **optimizers.AVERAGE,
    **sections.COMPUTE,
    **sections.CONDITION,
    "model.vector_size": Field(64, "entries of the vectors that are compared", least=1),
    "objective.temperature": Field(0.07, "what similarities are divided by at the start; learned", least=0.01, most=10),
}
DEFAULTS = {"model.condition": ("text",)}
SHARPEST = 100.0  # scale, one over the temperature


def make(config, spec: Spec) -> Method:
    """The matcher of a config; refuses one that compares images with nothing."""
    conditions = sections.conditions(config, spec)
    if not conditions:
        raise InputError("model.condition: a matcher compares images with what they are asked for by; name it")
    size = config.model.vector_size
    return matcher(
        encoder=sections.network(ENCODERS, config, "encoder", latent_size=size, heads=("vector",)),
        reader=sections.network(READERS, config, "reader", size=size, conditions=conditions),
        scale=1.0 / config.objective.temperature,
        rule=sections.rule(config),
        keep_average=config.optimizer.average != 0,
        conditions=dict(conditions),
        schedules=sections.hyper(config, spec),
    )


def matcher(encoder, reader, scale: float, rule: Rule, keep_average: bool, conditions: dict, schedules: dict) -> Method:
    """The matcher of these networks."""

    def init(key, example, resources):
        key_encoder, key_reader = jax.random.split(key)
        params = {
            "encoder": encoder.init(key_encoder, example["image"])["params"],
            "reader": reader.init(key_reader, chosen(conditions, example))["params"],
            "scale": {"log": jnp.log(jnp.float32(scale))},
        }
        average = Variables(params, {}) if keep_average else None
        return born(params, optimizers.start(rule, params), average=average)

    def vectors(params, images, condition):
        (seen,) = encoder.apply({"params": params["encoder"]}, images)
        return unit(seen), unit(reader.apply({"params": params["reader"]}, condition))

    def step(state, batches, key, hyper, variant):
        (batch,) = batches
        said = chosen(conditions, batch)

        def loss(params, rows):
            pair = vectors(params, *rows)
            scale = jnp.exp(params["scale"]["log"])
            losses = contrastive(*pair, scale, rows[1])
            nearest = (pair[0] @ pair[1].T).argmax(1)
            right = [(value == value[nearest]).reshape(len(value), -1).all(1) for value in rows[1].values()]
            return losses, {
                "loss": mean(losses),
                "accuracy": mean(jnp.stack(right).all(0)),
                "scale": mean(scale),
            }

        rows = batch["image"], said
        params, opt_state, metrics = descend(loss, state.params, state.opt_state, rule(hyper), rows)
        # Beyond that a batch tells too little, and the loss no longer falls by better vectors.
        params["scale"]["log"] = jnp.minimum(params["scale"]["log"], np.float32(np.log(SHARPEST)))
        average = update_average(state.average, Variables(params, {}), hyper["average"], len(batch["image"]))
        return State(state.step + 1, params, {}, opt_state, average), metrics

    def match(variables, images, condition):
        seen, said = vectors(variables.params, images, condition)
        return (seen * said).sum(1)

    return Method(init=init, step=step, conditions=conditions, schedules=schedules, match=match)


def unit(vectors: jax.Array) -> jax.Array:
    """Vectors [B, D] at length 1; where they are zero they stay so, with a finite gradient."""
    return vectors * jax.lax.rsqrt((vectors**2).sum(-1, keepdims=True) + 1e-12)
