"""Spheres, cylinders, cones, cubes and pyramids on a floor, drawn in perspective and in light, at 32x32.

    gen-jax train --config=rules_solids
    gen-jax sample RUN --seeds=0-63
    gen-jax interpolate RUN --seeds=0-7

Nothing is learned; `data.image_size` makes larger pictures. Measured with JAX 0.10.2 on 2 busy cores of an AMD EPYC
(Zen 5): 9 s of processor time, most of it compiling; 64 pictures of 64x64 with 432 faces in 1.9 s. There is no set of
such pictures here to compare them with; beside the flat `data.name=shapes`, precision and recall are 0.
"""

from gen_jax.config import base


def get_config():
    config = base("rules")
    config.data.name = "shapes"
    config.model.kind = "solids"
    return config
