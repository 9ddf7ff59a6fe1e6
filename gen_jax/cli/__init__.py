"""The verbs of `gen-jax`: flags in, one-line errors out."""
