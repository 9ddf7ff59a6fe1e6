"""Metrics: arrays in, numbers out. No metric knows where images come from; features are the caller's."""

from gen_jax.metrics.colour import colour_difference, lab_wasserstein
from gen_jax.metrics.coverage import label_coverage
from gen_jax.metrics.diversity import mean_pairwise_distance, vendi_score
from gen_jax.metrics.frechet import (
    Moments,
    check_enough,
    dead_features,
    empty_moments,
    frechet_distance,
    frechet_from_moments,
    mean_and_covariance,
    moments,
    update_moments,
)
from gen_jax.metrics.inception_score import inception_score
from gen_jax.metrics.kernel import kernel_distance
from gen_jax.metrics.neighbours import Neighbours, memorisation, nearest, neighbour_metrics
from gen_jax.metrics.similarity import mean_absolute_error, psnr, ssim
from gen_jax.metrics.texture import texture_similarity

# What scores images; the rest of this room is what these are made of.
METRICS = (
    "colour_difference",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "lab_wasserstein",
    "label_coverage",
    "mean_absolute_error",
    "mean_pairwise_distance",
    "memorisation",
    "neighbour_metrics",
    "psnr",
    "ssim",
    "texture_similarity",
    "vendi_score",
)

__all__ = [
    "METRICS",
    "Moments",
    "Neighbours",
    "check_enough",
    "colour_difference",
    "dead_features",
    "empty_moments",
    "frechet_distance",
    "frechet_from_moments",
    "inception_score",
    "kernel_distance",
    "lab_wasserstein",
    "label_coverage",
    "mean_absolute_error",
    "mean_and_covariance",
    "mean_pairwise_distance",
    "memorisation",
    "moments",
    "nearest",
    "neighbour_metrics",
    "psnr",
    "ssim",
    "texture_similarity",
    "update_moments",
    "vendi_score",
]
