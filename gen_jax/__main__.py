"""python -m gen_jax VERB ..."""

import sys

from gen_jax.cli.main import main

sys.exit(main())
