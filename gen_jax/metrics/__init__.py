"""Metrics: arrays in, numbers out. No metric knows where images come from; features are the caller's."""

from gen_jax.metrics.coverage import label_coverage
from gen_jax.metrics.diversity import mean_pairwise_distance
from gen_jax.metrics.frechet import frechet_distance, moments
from gen_jax.metrics.similarity import mean_absolute_error, psnr

__all__ = [
    "frechet_distance",
    "label_coverage",
    "mean_absolute_error",
    "mean_pairwise_distance",
    "moments",
    "psnr",
]
