"""The report of a run: one HTML file that holds all it shows."""

from gen_jax.report.build import report

__all__ = ["report"]
