"""Provenance: what an image says of itself, who signed that, and what none of it proves."""

from gen_jax.provenance.credentials import Verdict, check_identity, make_identity, sign, verify
from gen_jax.provenance.inspect import inspect, sentences
from gen_jax.provenance.records import read_record

__all__ = [
    "Verdict",
    "check_identity",
    "inspect",
    "make_identity",
    "read_record",
    "sentences",
    "sign",
    "verify",
]
