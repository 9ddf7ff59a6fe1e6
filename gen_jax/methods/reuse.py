"""Another run drawn again, filtered where asked by what a classifier or a detector thinks of the images.

    x = x_i,  i the first of `filter.tries` draws with p(wanted | x_i) >= `filter.least`, else the likeliest of them

A generator rejects its own failures at the price of more draws (Azadi et al. 2019 do so by the critic). `filter.run` is
any run that can classify: one that knows the digits keeps what looks like the digit that was asked for; a detector
(gen-jax detect) keeps what looks real, with `filter.wanted=0`, its class of real images.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from gen_jax.command import command
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.method import Method, Source, born

FIELDS = {
    "source.run": Field("", "directory of the run that is drawn again"),
    "source.step": Field(0, "its checkpoint; 0: the latest", least=0),
    "filter.run": Field("", "directory of the classifier's run that images must please; empty: none is filtered"),
    "filter.step": Field(0, "its checkpoint; 0: the latest", least=0),
    "filter.wanted": Field(-1, "class that images must be of; -1: the label asked for, or any", least=-1),
    "filter.least": Field(0.9, "probability of that class at which an image is kept", least=0, most=1),
    "filter.tries": Field(4, "draws for an image; the likeliest where none is kept", least=1, most=64),
}


def make(config, spec: Spec, sources: Mapping[str, Source]) -> Method:
    """The source run of a config as a Method; refuses what does not go together."""
    if "source" not in sources:
        raise InputError("source.run: method=reuse draws another run again; set --config.source.run=DIR")
    source, judge = sources["source"], sources.get("filter")
    if source.method.sample is None:
        raise InputError(f"source.run={config.source.run}: it draws no samples")
    if source.spec.shape != spec.shape:
        here, there = ("x".join(map(str, shape)) for shape in (spec.shape, source.spec.shape))
        raise InputError(f"source.run={config.source.run}: it draws {there}, data.name={config.data.name} has {here}")
    if judge is None:
        return reuse(source.method)
    if judge.method.features is None:
        raise InputError(
            f"filter.run={config.filter.run}: it cannot classify; train one: {command('train', '--config=classifier')}"
        )
    if judge.spec.shape != spec.shape:
        raise InputError(f"filter.run={config.filter.run}: it classifies images of another shape")
    if config.filter.wanted >= judge.spec.classes:
        raise InputError(f"filter.wanted={config.filter.wanted}: its classes are 0 to {judge.spec.classes - 1}")
    return reuse(source.method, judge.method, config.filter.wanted, config.filter.least, config.filter.tries)


def reuse(source: Method, judge: Method | None = None, wanted: int = -1, least: float = 0.0, tries: int = 1) -> Method:
    """The Method `source` with its arrays kept as "frozen", its samples chosen by `judge` where there is one."""

    def frozen(function):
        """A function of the source's Variables as one of this run's."""
        return function and (lambda variables, *rest: function(variables.collections["frozen"]["source"], *rest))

    def init(key, example, resources):
        return born({}, collections={"frozen": dict(resources.sources)})

    def likelihood(variables, images, condition):
        """The probability [B] of the class that is wanted."""
        seen = judge.features(variables.collections["frozen"]["filter"], images)["probabilities"]
        if wanted >= 0:
            return seen[:, wanted]
        return jnp.take_along_axis(seen, condition["label"][:, None], 1)[:, 0] if "label" in condition else seen.max(1)

    def sample(variables, keys, condition, temperature):
        draw = frozen(source.sample)
        images = draw(variables, keys, condition, temperature)  # try 0 is what the source draws for this seed
        best = likelihood(variables, images, condition)
        for i in range(1, tries):  # unrolled: on CPU a convolution in a compiled loop is 19 times slower
            again = jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys)
            others = draw(variables, again, condition, temperature)
            value = likelihood(variables, others, condition)
            better = (best < least) & (value > best)
            images = jnp.where(better[:, None, None, None], others, images)
            best = jnp.where(better, value, best)
        return images

    # Of filtered samples nothing else is known: no latents that they come from, no likelihood.
    rest = dict.fromkeys(("latents", "encode", "decode", "reconstruct", "complete", "log_weights", "log_prob", "bound"))
    if judge is None:
        rest = {name: frozen(getattr(source, name)) for name in rest}
    return Method(
        init=init,
        conditions=source.conditions,
        sample=frozen(source.sample) if judge is None else sample,
        discrete=source.discrete,
        binary=source.binary,
        vocabulary=source.vocabulary,
        **rest,
    )
