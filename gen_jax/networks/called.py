"""How methods call their networks: by `init` and `apply`, as Flax has them, wherever a State lies."""

from typing import NamedTuple

import flax.linen as nn

from gen_jax.runtime import mesh as meshes


class Called(NamedTuple):
    """A Flax module to be called, with what it computes with gathered first."""

    module: nn.Module

    def init(self, *args, **options):
        """As `flax.linen.Module.init`."""
        return self.module.init(*args, **options)

    def apply(self, variables, *args, **options):
        """As `flax.linen.Module.apply`."""

        return self.module.apply(meshes.used(variables), *args, **options)
