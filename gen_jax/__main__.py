"""python -m gen_jax VERB ..."""

import sys

from gen_jax.cli import main

sys.exit(main())
