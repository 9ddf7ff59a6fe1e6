"""Losses: arrays in, one value per example out. Likelihoods are in nats; logits enter, never probabilities.

This room imports jax and no other room: it serves a model that has nothing to do with gen_jax.
"""

from gen_jax.losses import adversarial, bounds, contrastive, divergences, likelihoods, penalties

__all__ = ["adversarial", "bounds", "contrastive", "divergences", "likelihoods", "penalties"]
