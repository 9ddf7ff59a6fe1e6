"""Generative families, and the classifier that measures them: config -> Method, one file each.

A family is a module with `make(config, spec) -> Method`, the tables NETWORKS (section of config.model ->
architectures by name), and the defaults of its config sections MODEL, OBJECTIVE, OPTIMIZER and TRAIN.
"""

from types import ModuleType

from gen_jax.data.dataset import Spec
from gen_jax.method import Method
from gen_jax.methods import classifier, gan, vae

METHODS: dict[str, ModuleType] = {"vae": vae, "gan": gan, "classifier": classifier}


def make(config, spec: Spec) -> Method:
    """The Method of a config for data of this Spec.

    Raises:
      InputError: where choices do not go together; the message names them.
    """
    return METHODS[config.method].make(config, spec)
