"""gen_jax: image generation research in JAX.

    import gen_jax
    run = gen_jax.load("runs/0001-gan_digits")
    images = run.sample(range(16))  # uint8 [16, H, W, C]
    result = gen_jax.train(gen_jax.config.load("gan_digits"), "runs/mine")

Every room is an attribute, imported when first asked for: `gen_jax.data`, `gen_jax.methods`, ...
`gen_jax.losses` and `gen_jax.metrics` stand alone: arrays in, arrays out.
"""

import importlib
import pkgutil

from gen_jax.version import __version__

__all__ = ["__version__", "load"]


def _rooms() -> set[str]:
    """The public modules beside this file; nothing is imported."""
    return {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}


def __getattr__(name):
    # Lazily, so that `import gen_jax.losses` costs jax and nothing else.
    if name == "load":
        from gen_jax.run import load

        return load
    if name in _rooms():
        return importlib.import_module(f"gen_jax.{name}")
    raise AttributeError(f"module 'gen_jax' has no attribute {name!r}")


def __dir__():
    return sorted({*__all__, *_rooms()})
