"""gen_jax."""
