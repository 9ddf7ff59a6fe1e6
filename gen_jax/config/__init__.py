"""Configs: a base that files edit, the fields gathered from where they are written, loading and checking."""

from gen_jax.config.base import base
from gen_jax.config.load import from_json, load, resolve, shipped, to_json
from gen_jax.field import flatten

__all__ = ["base", "flatten", "from_json", "load", "resolve", "shipped", "to_json"]
