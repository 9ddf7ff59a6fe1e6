"""The variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014).

    log p(x) >= E_q(z|x) [log p(x|z)] - KL(q(z|x) || p(z)),   q(z|x) = N(mean, exp(log_std)^2),   p(z) = N(0, 1)

trained on one sample z = mean + exp(log_std) * noise with the analytic KL; `beta` weighs the KL
(Higgins et al. 2017), and a schedule of it is KL warm-up (Sonderby et al. 2016).
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax import optimizers, randomness
from gen_jax.data.condition import chosen
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.losses import bounds, divergences, likelihoods
from gen_jax.method import Method, State, Variables, born, means
from gen_jax.methods import sections
from gen_jax.networks import DECODERS, ENCODERS, start_at
from gen_jax.optimizers import Rule, descend, update_average

NETWORKS = {"encoder": ENCODERS, "decoder": DECODERS}
FIELDS = {
    **optimizers.FIELDS,
    **optimizers.AVERAGE,
    **optimizers.ACCUMULATE,
    **sections.COMPUTE,
    **sections.CONDITION,
    "model.latent_size": Field(64, "entries of the latent vector", least=1),
    "objective.likelihood": Field("bernoulli", "p(x | z)", choices=likelihoods.LIKELIHOODS),
    "objective.scale": Field("learned", "scale of a gaussian or logistic, one a channel", choices=("fixed", "learned")),
    "objective.log_scale": Field(-1.0, "log of that scale (its start where learned), pixels in [0, 1]"),
    "objective.beta": Field(1.0, "weight of the KL term", schedule=True, least=0),
}


def make(config, spec: Spec) -> Method:
    """The VAE of a config; refuses what does not go together."""
    if config.objective.likelihood == "bernoulli" and not spec.binary:
        if spec.shape[-1] != 1:
            raise InputError(
                f"objective.likelihood=bernoulli: {config.data.name} has colour images;"
                " use discretized_logistic or gaussian"
            )
        raise InputError(
            f"objective.likelihood=bernoulli: the pixels of {config.data.name} are not binary;"
            " set data.binarize to dynamic, static or threshold"
        )
    conditions = sections.conditions(config, spec)
    network = partial(sections.network, config=config, conditions=conditions)
    return vae(
        encoder=network(ENCODERS, section="encoder", latent_size=config.model.latent_size),
        decoder=network(DECODERS, section="decoder", shape=spec.shape),
        latent_size=config.model.latent_size,
        likelihood=sections.function(likelihoods.LIKELIHOODS, config, "objective", "likelihood"),
        log_scale=config.objective.log_scale,
        learn_scale=config.objective.scale == "learned",
        rule=sections.rule(config),
        parts=config.train.accumulate,
        keep_average=config.optimizer.average != 0,
        conditions=dict(conditions),
        schedules=sections.hyper(config, spec, beta=config.objective.beta),
    )


def vae(
    encoder: nn.Module,
    decoder: nn.Module,
    latent_size: int,
    likelihood: likelihoods.Likelihood,
    log_scale: float,
    learn_scale: bool,
    rule: Rule,
    parts: int,
    keep_average: bool,
    conditions: dict,
    schedules: dict,
) -> Method:
    """The VAE of these networks; see the module's docstring for the equations."""

    def init(key, example, resources):
        key_encoder, key_decoder = jax.random.split(key)
        images, condition = example["image"], chosen(conditions, example)
        latents = jnp.zeros((images.shape[0], latent_size))
        params = {
            "encoder": encoder.init(key_encoder, images, condition)["params"],
            "decoder": decoder.init(key_decoder, latents, condition)["params"],
        }
        if likelihood.scaled and learn_scale:
            params["likelihood"] = {"log_scale": jnp.full((images.shape[-1],), log_scale)}
        start_at(params["decoder"], likelihood.inverse_mean(resources.mean))
        return born(params, optimizers.start(rule, params), average=Variables(params, {}) if keep_average else None)

    def posterior(params, images, condition):
        return encoder.apply({"params": params["encoder"]}, images, condition)

    def decode_raw(params, latents, condition):
        return decoder.apply({"params": params["decoder"]}, latents, condition)[..., 0]

    def log_prob(params, images, raw):
        scale = params["likelihood"]["log_scale"] if "likelihood" in params else jnp.float32(log_scale)
        return likelihood.log_prob(images, raw, scale)

    def terms(params, images, noise, condition):
        mu, log_std = posterior(params, images, condition)
        latents = mu + jnp.exp(log_std) * noise
        return {
            "log_likelihood": log_prob(params, images, decode_raw(params, latents, condition)),
            "kl": divergences.gaussian_kl(mu, log_std).sum(-1),
        }

    def step(state, batches, key, hyper, variant):
        (batch,) = batches
        noise = randomness.normal(randomness.row_keys(key, batch["row"]), (latent_size,))
        rows = batch["image"], noise, chosen(conditions, batch)

        def loss(params, rows):
            found = terms(params, *rows)
            found["loss"] = -bounds.elbo(found["log_likelihood"], found["kl"], hyper["beta"])
            return found["loss"], means(found)

        params, opt_state, metrics = descend(loss, state.params, state.opt_state, rule(hyper), rows, parts)
        average = update_average(state.average, Variables(params, {}), hyper["average"], len(noise))
        return State(state.step + 1, params, {}, opt_state, average), metrics

    def latents(variables, keys):
        return randomness.normal(keys, (latent_size,))

    def decode(variables, latents, condition):
        return likelihood.mean(decode_raw(variables.params, latents, condition))

    def sample(variables, keys, condition, temperature):
        return decode(variables, temperature * latents(variables, keys), condition)

    def encode(variables, images, condition):
        return posterior(variables.params, images, condition)[0]

    def reconstruct(variables, images, condition):
        return decode(variables, encode(variables, images, condition), condition)

    def bound(variables, images, keys, condition):
        parts = terms(variables.params, images, randomness.normal(keys, (latent_size,)), condition)
        return {**parts, "elbo": bounds.elbo(parts["log_likelihood"], parts["kl"])}

    def log_weights(variables, images, keys, condition):
        count = keys.shape[1]
        mu, log_std = (x[:, None] for x in posterior(variables.params, images, condition))
        noise = jax.vmap(lambda k: randomness.normal(k, (latent_size,)))(keys)
        latents = mu + jnp.exp(log_std) * noise
        # Rows stay the leading axis, so that the reshape moves nothing between devices.
        repeat = partial(jax.tree.map, lambda x: jnp.repeat(x, count, axis=0))
        raw = decode_raw(variables.params, latents.reshape(-1, latent_size), repeat(condition))
        log_p = log_prob(variables.params, repeat(images), raw).reshape(-1, count)
        # log p(z) - log q(z | x): the normalising constants of the two Gaussians cancel.
        return log_p + (0.5 * noise**2 + log_std - 0.5 * latents**2).sum(-1)

    return Method(
        init=init,
        step=step,
        conditions=conditions,
        schedules=schedules,
        sample=sample,
        latents=latents,
        encode=encode,
        decode=decode,
        reconstruct=reconstruct,
        log_weights=log_weights,
        bound=bound,
        discrete=likelihood.discrete,
    )
