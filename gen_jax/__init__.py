"""gen_jax: image generation research in JAX.

    import gen_jax
    run = gen_jax.load("runs/0001-gan_digits")
    images = run.sample(range(16))  # uint8 [16, H, W, C]

`gen_jax.losses` and `gen_jax.metrics` stand alone: arrays in, arrays out.
"""

from gen_jax.version import __version__

__all__ = ["__version__", "load"]


def __getattr__(name):
    # Lazily, so that `import gen_jax.losses` costs jax and nothing else.
    if name == "load":
        from gen_jax.run import load

        return load
    raise AttributeError(f"module 'gen_jax' has no attribute {name!r}")
