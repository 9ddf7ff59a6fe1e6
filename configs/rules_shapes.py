"""Flat shapes by rule, at 32x32: any colours, angles and sizes, one to three over each other.

    gen-jax train --config=rules_shapes
    gen-jax interpolate RUN --seeds=0-7

Nothing is learned. Measured with JAX 0.10.2 on 2 busy cores of an AMD EPYC (Zen 5): 12 s of processor time, most of it
compiling. Beside the scenes of `data.name=shapes`, by 1,000 samples: fd_random 7.8 (test images 2.8), precision 0.28
(0.75), recall 0.62 (0.74): they are of other colours, and turned.
"""

from gen_jax.config import base


def get_config():
    config = base("rules")
    config.data.name = "shapes"
    config.model.kind = "shapes"
    return config
