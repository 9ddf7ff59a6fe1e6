"""The autoencoder, and a Gaussian mixture over its latents, so that it can draw.

    min_f,g  E |x - g(f(x))|^2              (Baldi & Hornik 1989: linear f and g end in the space of PCA)

summed over pixels. Nothing asks the latents z = f(x) to follow a distribution; so after the last step one is fitted to
those of the training images (Ghosh et al. 2020, section 4, ex-post density estimation):

    p(z) = sum_k w_k N(z; m_k, S_k)         by expectation-maximisation, S_k full

An image is the decoding of a draw from it. Until then, in grids while training, and with `model.components` 0 for
good, p(z) is N(0, 1).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax import optimizers
from gen_jax.data.condition import chosen
from gen_jax.data.dataset import Dataset, Spec, floats, seen
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.method import Mean, Method, State, Variables, born, mean
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
    "model.components": Field(
        10, "Gaussians of the mixture fitted to the latents after the last step; 0: none, N(0, 1)", least=0
    ),
}

BATCH = 500  # images encoded together when the mixture is fitted


def make(config, spec: Spec) -> Method:
    """The autoencoder of a config; refuses more components than there are images."""
    if config.model.components > spec.size:
        raise InputError(
            f"model.components={config.model.components}: {config.data.name} has {spec.size} training images,"
            " and each Gaussian needs more than one; set fewer"
        )
    conditions = sections.conditions(config, spec)
    network = partial(sections.network, config=config, conditions=conditions)
    return autoencoder(
        encoder=network(ENCODERS, section="encoder", latent_size=config.model.latent_size, heads=("latents",)),
        decoder=network(DECODERS, section="decoder", shape=spec.shape),
        latent_size=config.model.latent_size,
        components=config.model.components,
        rule=sections.rule(config),
        parts=config.train.accumulate,
        keep_average=config.optimizer.average != 0,
        conditions=dict(conditions),
        schedules=sections.hyper(config, spec),
    )


def autoencoder(
    encoder: nn.Module,
    decoder: nn.Module,
    latent_size: int,
    components: int,
    rule: Rule,
    parts: int,
    keep_average: bool,
    conditions: dict,
    schedules: dict,
) -> Method:
    """The autoencoder of these networks; see the module's docstring for the equations.

    A condition is told to both networks. The mixture is one for all conditions: what the encoder is told it need not
    put into the latents.
    """

    def init(key, example, resources):
        key_encoder, key_decoder = jax.random.split(key)
        images, condition = example["image"], chosen(conditions, example)
        latents = jnp.zeros((images.shape[0], latent_size))
        params = {
            "encoder": encoder.init(key_encoder, images, condition)["params"],
            "decoder": decoder.init(key_decoder, latents, condition)["params"],
        }
        start_at(params["decoder"], resources.mean)
        count = max(1, components)
        mixture = {
            "weights": jnp.full(count, 1 / count),
            "means": jnp.zeros((count, latent_size)),
            "factors": jnp.broadcast_to(jnp.eye(latent_size), (count, latent_size, latent_size)),
        }
        collections = {"mixture": mixture}
        average = Variables(params, collections) if keep_average else None
        return born(params, optimizers.start(rule, params), collections, average)

    def encoded(params, images, condition):
        return encoder.apply({"params": params["encoder"]}, images, condition)[0]

    def decoded(params, latents, condition):
        return decoder.apply({"params": params["decoder"]}, latents, condition)[..., 0]

    def step(state, batches, key, hyper, variant):
        (batch,) = batches
        rows = batch["image"], chosen(conditions, batch)

        def loss(params, rows):
            images, condition = rows
            away = images - decoded(params, encoded(params, images, condition), condition)
            errors = (away**2).sum((1, 2, 3))
            return errors, {"loss": mean(errors)}

        params, opt_state, metrics = descend(loss, state.params, state.opt_state, rule(hyper), rows, parts)
        now, images = Variables(params, state.collections), len(batch["row"])
        average = update_average(state.average, now, hyper["average"], images)
        return State(state.step + 1, params, state.collections, opt_state, average), metrics

    def fit(state, dataset, key):
        own = Variables(state.params, state.collections)
        new, metrics = fitted(own, dataset, key)
        average = None
        if state.average is not None:  # its encoder puts images elsewhere
            average, metrics = fitted(state.average, dataset, key)
        return State(state.step, state.params, new.collections, state.opt_state, average), metrics

    def fitted(variables: Variables, dataset: Dataset, key):
        """The Variables with a mixture fitted to the latents of every training image, in float64."""
        from sklearn.mixture import (
            GaussianMixture,
        )  # here, since it takes four seconds and every command reads this file

        @jax.jit
        def latents_of(variables, batch):  # the variables an argument: captured, they would be baked into the program
            batch = floats(batch)
            return encode(variables, batch["image"], chosen(conditions, batch))

        batches = dataset.sequential(BATCH)
        latents = [np.asarray(latents_of(variables, seen(dataset, b, key)))[b["mask"] > 0] for b in batches]
        latents = np.concatenate(latents).astype(np.float64)
        # Started at data points far from each other: the default, k-means, adds up in an order that its threads decide.
        seed = int(jax.random.bits(key, dtype=jnp.uint32))
        mixture = GaussianMixture(components, init_params="k-means++", random_state=seed).fit(latents)
        found = {
            "weights": mixture.weights_,
            "means": mixture.means_,
            "factors": np.linalg.cholesky(mixture.covariances_),
        }
        found = {name: x.astype(np.float32) for name, x in found.items()}
        metrics = {"latent_log_density": Mean(mixture.score_samples(latents).sum(), np.float32(len(latents)))}
        return Variables(variables.params, {**variables.collections, "mixture": found}), metrics

    def drawn(variables, keys, temperature):
        mixture = variables.collections["mixture"]

        def one(key):
            of_component, of_place = jax.random.split(key)
            k = jax.random.categorical(of_component, jnp.log(mixture["weights"]))
            noise = jax.random.normal(of_place, (latent_size,))
            return mixture["means"][k] + temperature * mixture["factors"][k] @ noise

        return jax.vmap(one)(keys)

    def latents(variables, keys):
        return drawn(variables, keys, 1.0)

    def decode(variables, latents, condition):
        return jnp.clip(decoded(variables.params, latents, condition), 0.0, 1.0)

    def sample(variables, keys, condition, temperature):
        """The temperature scales the deviation from the mean of the component that was drawn."""
        return decode(variables, drawn(variables, keys, temperature), condition)

    def encode(variables, images, condition):
        return encoded(variables.params, images, condition)

    def reconstruct(variables, images, condition):
        return decode(variables, encode(variables, images, condition), condition)

    return Method(
        init=init,
        step=step,
        fit=fit if components else None,
        conditions=conditions,
        schedules=schedules,
        sample=sample,
        latents=latents,
        encode=encode,
        decode=decode,
        reconstruct=reconstruct,
    )
