"""Tokenizers: an encoder, a quantiser and a decoder, through which an image becomes a grid of codes and returns.

    z = f(x),   k = codes of z at each place,   -log p(x | g(embed(k))) + weight * what the quantiser adds

`model.quantizer` names the quantiser: `vq` (VQ-VAE, van den Oord et al. 2017), `fsq` (Mentzer et al. 2023) or `gumbel`
(DALL-E's dVAE, Ramesh et al. 2021); see `gen_jax.quantizers`. Of -log p only its shape is wanted, so it is the squared
error by default. Where `perceptual.run` names a classifier h, weight * |h(x) - h(reconstruction)|^2 in its features is
added (as Johnson et al. 2016). There is no prior over codes and no `sample`: another method models them, and is told
of `vocabulary`.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax import optimizers, randomness
from gen_jax.command import command
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.losses import likelihoods
from gen_jax.method import Mean, Method, Source, State, Vocabulary, born, means, of_inference
from gen_jax.methods import sections
from gen_jax.networks import GRID_DECODERS, GRID_ENCODERS, start_at
from gen_jax.networks.grid import grid
from gen_jax.optimizers import Rule, descend, update_average
from gen_jax.quantizers import Quantizer, codes_used, fsq, gumbel, perplexity, vq

MOST = 2**16  # codes
# The section `model` of a config -> its quantiser.
QUANTIZERS = {
    "vq": lambda model: vq.quantizer(model.codes, model.code_size, model.estimator, model.decay, model.restart),
    "fsq": lambda model: fsq.quantizer(tuple(model.levels)),
    "gumbel": lambda model: gumbel.quantizer(model.codes),
}
SQUARED_ERROR = likelihoods.Likelihood(
    lambda images, raw, _: -((images - raw) ** 2).sum((1, 2, 3)),
    lambda raw: jnp.clip(raw, 0.0, 1.0),
    lambda images: images,
    scaled=False,
    discrete=False,
)
RECONSTRUCTIONS = {"squared_error": SQUARED_ERROR, **likelihoods.LIKELIHOODS}

NETWORKS = {"encoder": GRID_ENCODERS, "decoder": GRID_DECODERS}
FIELDS = {
    **optimizers.FIELDS,
    **optimizers.AVERAGE,
    **optimizers.ACCUMULATE,
    **sections.COMPUTE,
    "model.factor": Field(4, "side of the image over that of the grid of codes, a power of two", least=2, most=64),
    "model.quantizer": Field("vq", "how vectors become codes", choices=tuple(QUANTIZERS)),
    "model.codes": Field(256, "how many codes there are (vq, gumbel)", least=2, most=MOST),
    "model.code_size": Field(4, "entries of a code's vector (vq)", least=1),
    "model.levels": Field((8, 8, 4), "levels of each channel; their product is the number of codes (fsq)", least=3),
    "model.estimator": Field("straight_through", "how the encoder gets a gradient (vq)", choices=tuple(vq.ESTIMATORS)),
    "model.decay": Field(0.99, "of the running means that codes are (vq)", least=0, most=1),
    "model.restart": Field(
        0.1, "share of the average use below which a code is put down anew; 0: never (vq)", least=0, most=1
    ),
    "objective.reconstruction": Field(
        "squared_error", "-log p(x | z) a pixel: squared_error (no nats), or a likelihood", choices=RECONSTRUCTIONS
    ),
    "objective.log_scale": Field(-2.0, "where the log of a gaussian or logistic scale starts; it is learned"),
    "perceptual.run": Field("", "directory of a classifier's run, in whose features images are compared; empty: none"),
    "perceptual.step": Field(0, "its checkpoint; 0: the latest", least=0),
    "objective.perceptual_weight": Field(
        0.0, "weight of the squared distance in the features of `perceptual.run`", schedule=True, least=0
    ),
    "objective.commitment_weight": Field(0.25, "weight of |z - sg(e)|^2 (vq)", schedule=True, least=0),
    "objective.kl_weight": Field(0.03, "weight of the KL to uniform codes (gumbel)", schedule=True, least=0),
    "objective.temperature": Field(1.0, "of the relaxed codes (gumbel)", schedule=True, least=1e-3),
}


INFERENCE = ("encoder", "decoder", "codebook")  # what coding needs: no classifier


# (what is frozen, images, reconstructions) -> [B]: a term of the loss beside the reconstruction.
Term = Callable[[Mapping, jax.Array, jax.Array], jax.Array]


def make(config, spec: Spec, sources: Mapping[str, Source], added: Mapping[str, Term] = MappingProxyType({})) -> Method:
    """The tokenizer of a config; refuses what does not go together.

    Args:
      added: terms of the loss that this file does not know (`vqgan`), each with a weight of its name in the config.
    """
    if config.objective.reconstruction == "bernoulli" and not spec.binary:
        raise InputError(
            f"objective.reconstruction=bernoulli: the pixels of {config.data.name} are not binary;"
            " set data.binarize to dynamic, static or threshold, or take squared_error"
        )
    if config.model.quantizer == "fsq" and not 1 <= math.prod(config.model.levels) - 1 < MOST:
        raise InputError(f"model.levels={config.model.levels}: their product, the number of codes, is 3 to {MOST:,}")
    quantizer = QUANTIZERS[config.model.quantizer](config.model)
    given = {"factor": config.model.factor}
    return tokenizer(
        encoder=sections.network(GRID_ENCODERS, config, "encoder", features=quantizer.channels, **given),
        decoder=sections.network(GRID_DECODERS, config, "decoder", shape=spec.shape, **given),
        quantizer=quantizer,
        vocabulary=Vocabulary(quantizer.size, grid(spec.shape, config.model.factor)),
        likelihood=sections.function(RECONSTRUCTIONS, config, "objective", "reconstruction"),
        log_scale=config.objective.log_scale,
        added={**_perceptual(config, spec, sources.get("perceptual")), **added},
        rule=sections.rule(config),
        parts=config.train.accumulate,
        keep_average=config.optimizer.average != 0,
        schedules=sections.hyper(
            config,
            spec,
            commitment_weight=config.objective.commitment_weight,
            kl_weight=config.objective.kl_weight,
            perceptual_weight=config.objective.perceptual_weight,
            temperature=config.objective.temperature,
            **{f"{name}_weight": config.objective[f"{name}_weight"] for name in added},
        ),
    )


def _perceptual(config, spec: Spec, source: Source | None) -> dict[str, Term]:
    """The distance in the features of the classifier that a config names; nothing where it names none."""
    run, weight = f"perceptual.run={config.perceptual.run}", config.objective.perceptual_weight
    if (source is None) != (weight == 0):
        missing = "set objective.perceptual_weight" if source else "set perceptual.run to a classifier's run"
        raise InputError(f"{run} with objective.perceptual_weight={weight}: it needs both; {missing}")
    if source is None:
        return {}
    if source.method.features is None:
        train = command("train", "--config=classifier")
        raise InputError(f"{run}: it cannot classify, so it has no features; train one: {train}")
    if source.spec.shape != spec.shape:
        raise InputError(f"{run}: it classifies images of another shape")

    def distance(frozen, images, drawn):
        seen = (source.method.features(frozen["perceptual"], x)["features"] for x in (images, drawn))
        return ((next(seen) - next(seen)) ** 2).sum(-1)

    return {"perceptual": distance}


def tokenizer(
    encoder: nn.Module,
    decoder: nn.Module,
    quantizer: Quantizer,
    vocabulary: Vocabulary,
    likelihood: likelihoods.Likelihood,
    log_scale: float,
    added: Mapping[str, Term],
    rule: Rule,
    parts: int,
    keep_average: bool,
    schedules: dict,
) -> Method:
    """The tokenizer of these parts; see the module's docstring for its loss."""

    def init(key, example, resources):
        images = example["image"]
        keys = jax.random.split(key, 3)
        codebook = quantizer.init(keys[2])
        latents = quantizer.embed(codebook, jnp.zeros((len(images), *vocabulary.grid), jnp.int32))
        params = {
            "encoder": encoder.init(keys[0], images)["params"],
            "decoder": decoder.init(keys[1], latents)["params"],
        }
        if likelihood.scaled:
            params["likelihood"] = {"log_scale": jnp.full((images.shape[-1],), log_scale)}
        start_at(params["decoder"], likelihood.inverse_mean(resources.mean))
        collections = {"codebook": codebook, "frozen": dict(resources.sources)}
        average = of_inference(INFERENCE, params, collections) if keep_average else None
        return born(params, optimizers.start(rule, params), collections, average)

    def encode_raw(params, images):
        return encoder.apply({"params": params["encoder"]}, images)

    def decode_raw(params, latents):
        return decoder.apply({"params": params["decoder"]}, latents)[..., 0]

    def log_prob(params, images, raw):
        return likelihood.log_prob(images, raw, params["likelihood"]["log_scale"] if likelihood.scaled else None)

    def step(state, batches, key, hyper, variant):
        (batch,) = batches
        codebook, frozen = state.collections["codebook"], state.collections["frozen"]
        of_noise, of_codebook = jax.random.split(key)

        def loss(params, part):
            images, rows = part
            keys = randomness.row_keys(of_noise, rows)
            found = quantizer.quantize(codebook, encode_raw(params, images), keys, hyper["temperature"])
            decoded = decode_raw(params, found.latents)
            drawn = likelihood.mean(decoded)
            terms = found.terms | {name: term(frozen, images, drawn) for name, term in added.items()}
            reconstruction = -log_prob(params, images, decoded)
            total = reconstruction + sum(hyper[f"{name}_weight"] * term for name, term in terms.items())
            # As Means, which are added up over the parts of a batch.
            counts = jax.nn.one_hot(found.codes.reshape(-1), quantizer.size).sum(0)
            sums = {name: Mean(value, jnp.float32(1)) for name, value in {**found.sums, "counts": counts}.items()}
            return total, (means({"loss": total, "reconstruction": reconstruction, **terms}), sums, found.examples)

        rows = batch["image"], batch["row"]
        params, opt_state, (metrics, sums, examples) = descend(
            loss, state.params, state.opt_state, rule(hyper), rows, parts
        )
        sums = {name: value.total for name, value in sums.items()}
        counts = sums.pop("counts")
        metrics |= means({"codes_used": codes_used(counts), "perplexity": perplexity(counts)})
        collections = {"codebook": quantizer.learn(codebook, sums, examples, of_codebook), "frozen": frozen}
        now = of_inference(INFERENCE, params, collections)
        average = update_average(state.average, now, hyper["average"], len(batch["row"]))
        return State(state.step + 1, params, collections, opt_state, average), metrics

    def encode(variables, images, condition):
        return quantizer.codes(variables.collections["codebook"], encode_raw(variables.params, images))

    def decode(variables, codes, condition):
        latents = quantizer.embed(variables.collections["codebook"], codes)
        return likelihood.mean(decode_raw(variables.params, latents))

    def reconstruct(variables, images, condition):
        return decode(variables, encode(variables, images, condition), condition)

    return Method(
        init=init,
        step=step,
        inference=INFERENCE,
        schedules=schedules,
        encode=encode,
        decode=decode,
        reconstruct=reconstruct,
        vocabulary=vocabulary,
    )
