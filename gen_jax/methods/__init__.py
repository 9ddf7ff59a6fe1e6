"""Generative families, and the classifier that measures them: config -> Method, one file each.

A family is a module with `make(config, spec) -> Method` (`make(config, spec, sources)` where its config can name other
runs, by a field `run` of a section) and FIELDS, the rows of its config. It may have NETWORKS (section of config.model
-> architectures by name) and DEFAULTS, its own defaults for rows that it shares with others. Adding one is such a file
and two lines here, its import and its name; outside the package, a config names it by `method = "FILE.py:make"`
(`gen_jax.own`).
"""

from collections.abc import Mapping
from types import ModuleType, SimpleNamespace

from gen_jax import own
from gen_jax.data.dataset import Spec
from gen_jax.method import Method, Source
from gen_jax.methods import (
    autoencoder,
    classifier,
    forest,
    gan,
    gpt,
    masked,
    matcher,
    random_pixels,
    reuse,
    rules,
    tokenizer,
    vae,
    vqgan,
)

METHODS: dict[str, ModuleType] = {
    "autoencoder": autoencoder,
    "classifier": classifier,
    "forest": forest,
    "gan": gan,
    "gpt": gpt,
    "masked": masked,
    "matcher": matcher,
    "random": random_pixels,
    "reuse": reuse,
    "rules": rules,
    "tokenizer": tokenizer,
    "vae": vae,
    "vqgan": vqgan,
}


def family(name: str) -> ModuleType | SimpleNamespace:
    """What METHODS holds under `name`, or the same of a file of the user's: FILE.py:make (`gen_jax.own`)."""
    if not own.is_reference(name):
        return METHODS[name]
    module, function = own.load(name)
    return SimpleNamespace(**{**vars(module), "make": function})


def make(config, spec: Spec, sources: Mapping[str, Source] | None = None) -> Method:
    """The Method of a config for data of this Spec, over the runs that the config names, by section.

    Raises:
      InputError: where choices do not go together; the message names them.
    """
    module = family(config.method)
    over_runs = any(path.endswith(".run") for path in module.FIELDS)
    return module.make(config, spec, sources or {}) if over_runs else module.make(config, spec)
