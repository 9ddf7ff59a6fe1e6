"""Where every experiment starts: the defaults of a method, which a config file edits."""

import ml_collections

from gen_jax.config import fields


def base(method: str) -> ml_collections.ConfigDict:
    """A config for `method` ("vae", "gan", ...), every field at its default.

    The file that calls it sets the rest: the networks under `model`, the data, the lengths. Fields of
    a network that the file leaves out take the network's own defaults when the config is loaded.
    """
    # Types are checked against the fields, which know that a number may become a schedule.
    config = ml_collections.ConfigDict(type_safe=False)
    for path, field in fields.of_method(method).items():
        put(config, path, field.default)
    return config


def put(config: ml_collections.ConfigDict, path: str, value) -> None:
    """Sets the field at a dotted path, making its sections."""
    *sections, last = path.split(".")
    for name in sections:
        if name not in config:
            config[name] = ml_collections.ConfigDict(type_safe=False)
        config = config[name]
    if last in config:  # a tuple of another length, say, would be refused
        del config[last]
    config[last] = value
