"""Configs: a base that files edit, a table of every field, loading and checking."""

from gen_jax.config.base import base
from gen_jax.config.load import from_json, load, shipped, to_json
from gen_jax.field import flatten

__all__ = ["base", "flatten", "from_json", "load", "shipped", "to_json"]
