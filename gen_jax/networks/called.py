"""How methods call their networks: by `init` and `apply`, as Flax has them, whatever a config says of memory."""

from typing import NamedTuple

import flax.linen as nn
import jax

from gen_jax.networks.pyramid import BLOCK
from gen_jax.runtime import mesh as meshes


class Called(NamedTuple):
    """A Flax module to be called.

    With `remat` only its input and what stands between its blocks (`pyramid.block`) is kept for the backward pass,
    which computes the rest of a block again. A module that marks no blocks is computed again as a whole.
    """

    module: nn.Module
    remat: bool = False

    def init(self, *args, **options):
        """As `flax.linen.Module.init`."""
        return self.module.init(*args, **options)

    def apply(self, variables, *args, rngs=None, **options):
        """As `flax.linen.Module.apply`; `options` are not traced."""

        def run(variables, args, rngs):
            return self.module.apply(meshes.used(variables), *args, rngs=rngs, **options)

        if self.remat:
            run = jax.checkpoint(run, policy=jax.checkpoint_policies.save_only_these_names(BLOCK))
        return run(variables, args, rngs)
